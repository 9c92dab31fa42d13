"""Looks into files, one after the other: `python -m hopperd.invoices.inspect_worker`, started as a child process.

One JSON request per line on stdin (`{"path": base64, "accept": [kind, …], "limits": {…}}`), one JSON verdict per line
on stdout, in order; an `"id"` in a request comes back with its verdict. Prints nothing else ever. Ends at the end of
its input. `--memory-bytes N` bounds its address space, `--cpu-seconds N` each single look, `"cpu_seconds"` in a request
(a fraction will do) that look alone; beyond that the kernel ends whoever looks. `--die-with-parent` asks the kernel to
end it when the *thread* that started it ends; leave it off where that thread is not the process' main one.

What is started stays outside: it reads no file, and forks the one who looks. When that one dies over a file, the line
says `{"died": how}` in place of a verdict, and the next one is there in a millisecond, its libraries loaded.
"""

import base64
import json
import mmap
import os
import resource
import signal
import sys
from typing import Any, BinaryIO, Final, NoReturn

from hopperd.invoices.inspect import Limits, inspect_file

_PR_SET_PDEATHSIG: Final = 1
_REQUEST_BYTES_MAX: Final = 64 * 1024
_SIZE_BYTES: Final = 4
_IDLE_DEATHS_MAX: Final = 20


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Look into the file of one request; the verdict as JSON values, with the request's `id` if it had one."""
    verdict = inspect_file(
        base64.b64decode(request["path"]), frozenset(request["accept"]), Limits(**request["limits"])
    ).as_json()
    return {"id": request["id"], **verdict} if "id" in request else verdict


class Requests:
    """Lines of an input, read in pieces. What was read beyond the line in hand lies in memory shared with the process
    that forks: should this one die, the next begins with it."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._held = mmap.mmap(-1, _SIZE_BYTES + 2 * _REQUEST_BYTES_MAX)

    def readline(self) -> bytes:
        """The next line; b"" at the end of the input."""
        size = int.from_bytes(self._held[:_SIZE_BYTES], "little")
        read = self._held[_SIZE_BYTES : _SIZE_BYTES + size]
        while b"\n" not in read and len(read) < _REQUEST_BYTES_MAX:
            piece = os.read(self._file, _REQUEST_BYTES_MAX)
            if not piece:
                break
            read += piece
        line, end, rest = read.partition(b"\n")
        self._held[: _SIZE_BYTES + len(rest)] = len(rest).to_bytes(_SIZE_BYTES, "little") + rest
        return line + end


def serve(requests: Requests, verdicts: BinaryIO, cpu_seconds: int, has_one_in_hand: "mmap.mmap | bytearray") -> None:
    """Answer requests until there are no more. `has_one_in_hand[0]` is 1 from a request until its verdict."""
    while line := requests.readline():
        has_one_in_hand[0] = 1
        request = json.loads(line)
        if cpu_seconds:
            _allow_cpu(cpu_seconds)
        signal.setitimer(signal.ITIMER_PROF, request.get("cpu_seconds", 0.0))
        verdict = json.dumps(answer(request)).encode() + b"\n"
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        has_one_in_hand[0] = 0
        verdicts.write(verdict)
        verdicts.flush()


def keep_serving(requests: Requests, verdicts: BinaryIO, cpu_seconds: int) -> int:
    """Fork one who serves, and another whenever it dies; 0 at the end of input."""
    has_one_in_hand = mmap.mmap(-1, 1)
    idle_deaths = 0
    while idle_deaths < _IDLE_DEATHS_MAX:
        own = os.getpid()
        child = os.fork()
        if child == 0:
            _serve_and_end(own, requests, verdicts, cpu_seconds, has_one_in_hand)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == 0:
            return 0
        if has_one_in_hand[0]:
            has_one_in_hand[0] = idle_deaths = 0
            verdicts.write(json.dumps({"died": obituary(code)}).encode() + b"\n")
            verdicts.flush()
        else:
            idle_deaths += 1  # ended by somebody else, between two files
    return 1


def _serve_and_end(
    parent: int, requests: Requests, verdicts: BinaryIO, cpu_seconds: int, has_one_in_hand: mmap.mmap
) -> NoReturn:
    code = 1
    try:
        _die_with_parent()
        if os.getppid() == parent:
            serve(requests, verdicts, cpu_seconds, has_one_in_hand)
        code = 0
    except BrokenPipeError:
        code = 0
    finally:
        os._exit(code)


def obituary(code: int) -> str:
    """How it died, in a few words, from its exit code; a signal's number is negative."""
    if code in (-signal.SIGXCPU, -signal.SIGPROF):
        return "it took more processor time than any invoice"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"ended by signal {-code}"
    return f"ended with code {code}"


def _allow_cpu(seconds: int) -> None:
    """Move the limit on processor time so that the next look may use this much; the look before is forgotten."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = usage.ru_utime + usage.ru_stime
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + seconds + 1, hard))


def _limit_memory(size_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _number_after(flag: str, arguments: list[str]) -> int:
    return int(arguments[arguments.index(flag) + 1]) if flag in arguments else 0


def main(arguments: list[str]) -> int:
    """Set the limits asked for and serve; 0 at the end of input."""
    verdicts = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # whatever a library prints must not be taken for a verdict
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which ends us by closing our input
    if "--die-with-parent" in arguments:
        _die_with_parent()
    if memory_bytes := _number_after("--memory-bytes", arguments):
        _limit_memory(memory_bytes)
    import pypdfium2  # noqa: F401 - once here, and not again after each death

    try:
        return keep_serving(Requests(0), verdicts, _number_after("--cpu-seconds", arguments))
    except BrokenPipeError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

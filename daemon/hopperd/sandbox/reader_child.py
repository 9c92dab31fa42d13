"""A child process that reads documents, one after the other: `python -m hopperd.sandbox.reader_child`.

Framed pickles on stdin (`(work, arguments)`) and stdout (what the work returns, or the sentence of what cannot be
done), each after its length in eight bytes. Ends at the end of its input. Whatever a library prints goes to stderr.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from hopperd.sandbox.page_image import draw_page
from hopperd.sandbox.reader import Unreadable, read_document, write_exports

LENGTH: Final = struct.Struct(">Q")
MEMORY_BYTES: Final = 4 * 1024**3
WORK: Final[dict[str, Callable[..., Any]]] = {"read": read_document, "write": write_exports, "draw": draw_page}


def frame(value: Any) -> bytes:
    """A value as it travels between parent and child; both are this program, so pickle is safe here."""
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers requests until there are no more."""
    while len(length := requests.read(LENGTH.size)) == LENGTH.size:
        work, arguments = pickle.loads(requests.read(LENGTH.unpack(length)[0]))  # noqa: S301 - from our parent
        answers.write(frame(_answer(work, arguments)))
        answers.flush()


def _answer(work: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return WORK[work](*arguments)
    except Unreadable as refusal:
        return str(refusal)
    except MemoryError:
        return "It needs more memory than any invoice."


def main() -> None:
    """Keeps stdout for answers alone, bounds the memory, leaves Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()

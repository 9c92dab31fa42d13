"""One file read in a child process of its own: `python -m hopperd.invoices.read_worker` (never by hand).

The request and the answer are pickles between two halves of one program. The child bounds its memory and processor time
before it looks at a single byte; the parent bounds the time. A hostile file costs this one child.
"""

import os
import pickle
import resource
import subprocess
import sys
from typing import Final

from hopperd.invoices.child_environment import child_environment
from hopperd.invoices.reading import ReadResult, read_and_export

SECONDS_MAX: Final = 90.0
_MEMORY_BYTES: Final = 4 * 1024**3


def read_in_child(data: bytes, name: str, format_name: str, seconds: float = SECONDS_MAX) -> ReadResult:
    """Read and export one file; a child that crashes or takes too long gives a result that says so."""
    try:
        child = subprocess.run(
            [sys.executable, "-P", "-m", "hopperd.invoices.read_worker"],
            input=pickle.dumps((data, name, format_name)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=True,
            env=child_environment(),
        )
    except subprocess.TimeoutExpired:
        return ReadResult(reason="poison", what=f"Reading it took longer than {seconds:.0f} seconds and was given up.")
    except subprocess.CalledProcessError:
        return ReadResult(reason="poison", what="Whatever is in it ends the program that reads it.")
    result = pickle.loads(child.stdout)  # noqa: S301  # from our own child
    return result if isinstance(result, ReadResult) else ReadResult(reason="poison", what="Its reader gave no answer.")


def main() -> None:
    """Bound everything, keep stdout for the answer alone, read one file."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, bound in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_CPU, int(SECONDS_MAX))):
        _, hard = resource.getrlimit(kind)
        least = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(kind, (least, least))
    data, name, format_name = pickle.loads(sys.stdin.buffer.read())  # noqa: S301  # from our own parent
    try:
        result = read_and_export(data, name, [format_name])
    except MemoryError:
        result = ReadResult(reason="bomb", what="It needs more memory to open than any invoice.")
    answer.write(pickle.dumps(result))
    answer.close()


if __name__ == "__main__":
    main()

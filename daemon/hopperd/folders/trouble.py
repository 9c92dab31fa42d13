"""What an error of the disk means: trouble of a whole folder, never of a file."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from hopperd.pipeline.naming import printable
from hopperd.ports import FolderTrouble

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENOTCONN, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN)
_DENIED = (errno.EACCES, errno.EPERM)


def trouble_from(error: OSError, path: bytes, doing: str) -> FolderTrouble:
    """Sort an error of the disk by what it means for the whole folder."""
    kind = "gone" if error.errno in _GONE else "denied" if error.errno in _DENIED else "disk"
    if error.errno == errno.EXDEV:
        kind = "crossing"
    reason = os.strerror(error.errno) if error.errno else str(error)
    what = f"cannot {doing} {printable(path)}: {reason}"
    return FolderTrouble(kind, what, path)  # type: ignore[arg-type]


@contextlib.contextmanager
def troubled(path: bytes, doing: str) -> Iterator[None]:
    """Whatever the disk refuses inside becomes FolderTrouble."""
    try:
        yield
    except OSError as error:
        raise trouble_from(error, path, doing) from error

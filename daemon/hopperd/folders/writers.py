"""Does anybody still write to a file, and what do its first and last bytes look like? Nothing here changes a file.

A read lease is refused with EAGAIN while any process has the file open for writing (fcntl(2), F_SETLEASE), and with
EACCES to whoever neither owns the file nor has CAP_LEASE: then time and tail alone tell. It means nothing on shares,
whose servers refuse it for reasons of their own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal

from hopperd.pipeline.settle import Writing

HEAD_BYTES = 4_096
TAIL_BYTES = 4_096


def writing(file: int, *, lease_tells: bool) -> Writing:
    """Ask for a read lease on a file opened for reading, and give it back at once.

    `lease_tells` is whether the file lies on a local file system: NFS and SMB refuse leases for reasons of their own.
    """
    if not lease_tells:
        return Writing.UNKNOWN
    try:
        # Whoever opens the file for writing in this very moment makes the kernel send a signal, by default one that
        # kills: SIGURG is ignored unless somebody asks for it. The opener waits until the lease is given back.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return Writing.BUSY if error.errno == errno.EAGAIN else Writing.UNKNOWN
    with contextlib.suppress(OSError):
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return Writing.FREE


def head_and_tail(file: int, size: int) -> tuple[bytes, bytes]:
    """The first and the last bytes of a file, without moving its position."""
    head = os.pread(file, HEAD_BYTES, 0)
    return head, os.pread(file, TAIL_BYTES, max(0, size - TAIL_BYTES))

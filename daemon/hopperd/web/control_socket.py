"""Where the running daemon is asked: the socket in its state folder. Light, for every command begins here."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "control.sock"


def is_answered(state: Path) -> bool:
    """Whether a daemon listens on the socket of this state folder."""
    try:
        connected(state).close()
    except OSError:
        return False
    return True


def connected(state: Path) -> socket.socket:
    """A connection to the control socket. Raises OSError where no daemon answers."""
    folder = os.open(state, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    try:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        except OSError:
            client.close()
            raise
        return client
    finally:
        os.close(folder)

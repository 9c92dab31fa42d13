"""Which start of this machine this is: what was not flushed to a disk is gone if it is another one."""

from __future__ import annotations

from functools import cache


@cache
def boot_id() -> str:
    """The kernel's; the same word always where there is none to be read."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "unknown"

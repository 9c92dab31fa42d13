"""What the kernel says about mounts: which file system a path lies on, and what is mounted below it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

_LOCAL = frozenset(
    (
        *("bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "jfs", "nilfs2", "ntfs3", "overlay", "ramfs"),
        *("reiserfs", "rootfs", "tmpfs", "vfat", "xfs", "zfs"),
    )
)
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    point: bytes
    kind: str
    device: bytes

    @property
    def is_local(self) -> bool:
        """Whether every change is made through this kernel: then events come, and a read lease tells the truth."""
        return self.kind in _LOCAL


def mounts() -> list[Mount]:
    """All mounts this process sees, in the order they were made; empty where /proc does not tell."""
    try:
        with open("/proc/self/mountinfo", "rb") as table:
            lines = table.read().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.split(b" ")[0]
        if len(fields) > 4:
            point = _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), fields[4])
            found.append(Mount(point, kind.decode("ascii", "replace"), fields[2]))
    return found


def mount_of(path: bytes, table: list[Mount] | None = None) -> Mount | None:
    """The mount a path lies on: the longest mount point above it, the latest of those at one point."""
    real = os.path.realpath(path)
    above = [mount for mount in table or mounts() if _is_at_or_below(real, mount.point)]
    return max(reversed(above), key=lambda mount: len(mount.point), default=None)


def mounts_below(path: bytes, table: list[Mount] | None = None) -> frozenset[bytes]:
    """Paths, relative to `path`, at which something is mounted."""
    real = os.path.realpath(path).rstrip(b"/")
    points = (mount.point for mount in table or mounts())
    return frozenset(point[len(real) + 1 :] for point in points if point.startswith(real + b"/"))


def _is_at_or_below(path: bytes, point: bytes) -> bool:
    return point == b"/" or path == point or path.startswith(point + b"/")

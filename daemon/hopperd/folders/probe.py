"""Try a hot folder for real and say exactly what is wrong with it: for `hopperd check` and for readiness.

Leaves nothing behind, and makes nothing: what a first start would make may be missing.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from hopperd.folders import places, renaming
from hopperd.folders.layout import ONE_MOUNT, ROLES, Layout, Role
from hopperd.folders.mounts import Mount, mount_of, mounts, mounts_below
from hopperd.pipeline.naming import printable

_NAME = b".hopperd-probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """`problems` keep the folder from working; `remarks` should be known: no events, no rename without replacing."""

    problems: tuple[str, ...]
    remarks: tuple[str, ...]


def probe(layout: Layout) -> Probed:
    """A real write, rename and unlink in each place that is there, and a real rename from in/ to work/."""
    table = mounts()
    problems: list[str] = []
    remarks: list[str] = []
    for role in ROLES:
        root = layout.roots[role]
        nearest = _nearest(root)
        if nearest != root:
            problems += _cannot_be_made(role, root, nearest)
            continue
        problems += _try_writing(role, root, remarks)
    if os.path.isdir(layout.inbox) and os.path.isdir(layout.work) and not problems:
        problems += _try_crossing(layout)
    elif not problems and _will_be_apart(layout, table):
        problems.append(f"work: {printable(layout.work)} {ONE_MOUNT}")
    remarks += _about_mounts(layout, table)
    return Probed(problems=tuple(problems), remarks=tuple(remarks))


def local(path: bytes) -> bool:
    """Whether events and read leases can be trusted at this path."""
    mount = mount_of(path)
    return mount is not None and mount.is_local


def disk_state(path: bytes) -> tuple[int, bool]:
    """Room for this user on the disk of `path`, in bytes, and whether it is mounted read-only."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize, bool(found.f_flag & os.ST_RDONLY)


def full_disks(layout: Layout, free_space_bytes: int) -> list[str]:
    """A sentence for each disk with less room than intake asks for."""
    disks: dict[int, bytes] = {}
    for root in layout.roots.values():
        with contextlib.suppress(OSError):  # a place that cannot be reached is told of by the probe
            disks.setdefault(os.stat(_nearest(root)).st_dev, _nearest(root))
    rooms = {path: disk_state(path)[0] for path in disks.values()}
    return [
        f"the disk of {printable(path)} has {room:,} bytes free, less than free_space_bytes ({free_space_bytes:,}): "
        f"nothing is taken in. Free space on it, or ask for less"
        for path, room in rooms.items()
        if room < free_space_bytes
    ]


def _nearest(path: bytes) -> bytes:
    while not os.path.lexists(path) and path != b"/":
        path = os.path.dirname(path)
    return path


def _cannot_be_made(role: Role, root: bytes, nearest: bytes) -> list[str]:
    if not os.path.isdir(nearest):
        return [f"{role}: {printable(root)} cannot be made, because {printable(nearest)} is no folder"]
    if not os.access(nearest, os.W_OK | os.X_OK):
        return [_denied(role, nearest, f"cannot make {printable(root)} in it")]
    return []


def _try_writing(role: Role, root: bytes, remarks: list[str]) -> list[str]:
    if not os.path.isdir(root):
        return [f"{role}: {printable(root)} is no folder; take it away or configure another path"]
    try:
        with places.root_folder(root) as fd:
            list(_first_entry(fd))
            if not _write_rename_unlink(fd):
                remarks.append(
                    f"{role}: the file system at {printable(root)} cannot rename without replacing; names are looked "
                    f"at first, and a file that another program puts there in that very moment could be replaced"
                )
    except OSError as error:
        return [_problem(role, root, error)]
    return []


def _first_entry(fd: int) -> Iterator[str]:
    with os.scandir(fd) as entries:
        yield from (entry.name for entry, _ in zip(entries, range(1), strict=False))


def _write_rename_unlink(fd: int) -> bool:
    """False where renaming without replacing takes more than one step."""
    first, second = (b"%s-%d-%s" % (_NAME, os.getpid(), end) for end in (b"a", b"b"))
    file = os.open(first, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
    try:
        os.write(file, b"hopperd was here\n")
        os.fsync(file)
        return renaming.rename_new(fd, first, fd, second)
    finally:
        os.close(file)
        _unlink_quietly(fd, first, second)


def _try_crossing(layout: Layout) -> list[str]:
    name = b"%s-%d" % (_NAME, os.getpid())
    with places.root_folder(layout.inbox) as inbox, places.root_folder(layout.work) as work:
        try:
            os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=inbox))
            renaming.rename_new(inbox, name, work, name)
        except OSError as error:
            return [_problem("work", layout.work, error)]
        finally:
            _unlink_quietly(inbox, name)
            _unlink_quietly(work, name)
    return []


def _will_be_apart(layout: Layout, table: list[Mount]) -> bool:
    """Whether in/ and work/, once they are made, will lie on two file systems or mounts."""
    inbox, work = _nearest(layout.inbox), _nearest(layout.work)
    return os.stat(inbox).st_dev != os.stat(work).st_dev or mount_of(inbox, table) != mount_of(work, table)


def _unlink_quietly(fd: int, *names: bytes) -> None:
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=fd)


def _problem(role: Role, root: bytes, error: OSError) -> str:
    where = f"{role}: {printable(root)}"
    if error.errno == errno.EXDEV:
        return f"{where} {ONE_MOUNT}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return _denied(role, root, "may not list, write, rename and delete in it")
    if error.errno == errno.EROFS:
        return f"{where} is mounted read-only; remount it read-write"
    return f"{where} cannot be used: {os.strerror(error.errno or errno.EIO)}"


def _denied(role: Role, path: bytes, what: str) -> str:
    user, found = _user(os.geteuid()), os.stat(path)
    quoted = "'" + printable(path).replace("'", "'\\''") + "'"
    mode = f"{_user(found.st_uid)}:{_group(found.st_gid)}, mode {found.st_mode & 0o7777:04o}"
    sticky = " (its sticky bit keeps files of other users where they are)" if found.st_mode & 0o1000 else ""
    return (
        f"{role}: hopperd runs as {user} and {what}: {printable(path)} belongs to {mode}{sticky}. Try: "
        f"setfacl -m u:{user}:rwx -m d:u:{user}:rwx {quoted}, or: chown {user} {quoted}"
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


CAP_LEASE = 28


def _cannot_see_writers(inbox: bytes) -> bool:
    """Others may put files in, and we neither own these nor have the capability that lets us ask who writes to them."""
    try:
        shared = bool(os.stat(inbox).st_mode & 0o022)
        with open("/proc/self/status") as status:
            (held,) = [line.split()[1] for line in status if line.startswith("CapEff:")]
    except (OSError, ValueError):
        return False
    return shared and not int(held, 16) >> CAP_LEASE & 1


def _about_mounts(layout: Layout, table: list[Mount]) -> list[str]:
    remarks = [
        f"in: something is mounted at {printable(layout.inbox + b'/' + point)}; files there stay where they are, since "
        f"they cannot be claimed by rename. Make it a hot folder of its own"
        for point in sorted(mounts_below(layout.inbox, table))
        if not point.startswith(b".")
    ]
    mount = mount_of(layout.inbox, table)
    if mount is not None and not mount.is_local:
        remarks.append(
            f"in: {printable(layout.inbox)} lies on {mount.kind}: changes made elsewhere give no events and open "
            f"writers cannot be seen, so the sweep alone finds files; consider quiet_seconds = 5 or more"
        )
    elif _cannot_see_writers(layout.inbox):
        remarks.append(
            f"in: others put files into {printable(layout.inbox)}, and without the capability CAP_LEASE hopperd cannot "
            f"see whether one of theirs is still being written to. The systemd unit grants it; elsewhere consider "
            f"quiet_seconds = 5 or more"
        )
    return remarks

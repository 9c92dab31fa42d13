"""What makes two jobs the same: the digest of their bytes, whatever the files are called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hopperd.pipeline.job import Job


def bytes_digest(job: Job) -> str:
    """SHA-256 (hex) of the one original; of a group, SHA-256 over the sorted digests of its members, one per line.

    A group of one is a group: it is captured under other rules than the same file put in alone.
    What could not be read has no digest yet, and is nobody's twin.
    """
    if not all(original.sha256 for original in job.originals):
        return f"unread {job.id}"
    if job.group is None:
        return job.originals[0].sha256
    members = sorted(original.sha256 for original in job.originals)
    return hashlib.sha256("\n".join(members).encode()).hexdigest()


def group_of(names: Sequence[bytes], *, by_folder: bool) -> bytes | None:
    """The subfolder that names of one job make a group of, where the ledger does not tell.

    Several files in one subfolder are a group whatever the settings say now; one is if groups are taken by folder.
    """
    tops = {name.partition(b"/")[0] for name in names if b"/" in name}
    together = len(tops) == 1 and all(b"/" in name for name in names)
    return tops.pop() if together and (by_folder or len(names) > 1) else None

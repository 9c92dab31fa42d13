"""Exports from local staging to their recorded names, each by a create that only a free name lets through.

Each carries its job and its SHA-256 in its metadata, so that a look at the name tells whether it is ours. A note beside
the original in work/ is made before the first is sent: where it is missing, nothing was ever sent, whoever asks and
from whichever machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal

from hopperd.buckets.place import DELIVERING, LARGE, Place
from hopperd.buckets.scratch import digest_of
from hopperd.buckets.store import JOB, PART, SHA256, WHOLE_BYTES, Store, StoreTrouble
from hopperd.folders import deliver as staging
from hopperd.folders import places
from hopperd.folders.layout import STAGING, Layout
from hopperd.folders.trouble import troubled
from hopperd.pipeline.job import Export, Job, JobId
from hopperd.pipeline.naming import marker_name, numbered
from hopperd.ports import NameTaken

LOOKED_AT: Final = 50
Outcome = Literal["delivered", "perhaps-twice", "lost", "never-sent"]


class Deliveries:
    """`layout` is the local one, whose out/ holds staging and nothing else."""

    def __init__(self, store: Store, place: Place, layout: Layout) -> None:
        self._store = store
        self._place = place
        self._layout = layout
        # What this process sent and did not hear of, of the jobs whose delivery it began itself.
        self._unheard: dict[JobId, set[str]] = {}

    def deliver(self, job: Job, *, all_or_none: bool = False) -> Outcome | NameTaken:
        """To be repeated after a crash or a name that was taken: what is delivered already is not delivered again.

        With `all_or_none`, nothing is sent where a name is taken, unless it is taken in that very moment.
        """
        staged = self._staged(job.id)
        if staged is None:
            return self._without_staging(job)
        if all_or_none:
            for position, export in enumerate(job.exports):
                if export.staged_as in staged and self._is_anothers(job, export):
                    return self._name_taken(job, position)
        doubtful = self._doubtful(job)
        is_doubtful = False
        for position, export in enumerate(job.exports):
            if export.staged_as not in staged:
                continue
            outcome = self._deliver_one(job, export, doubtful)
            if outcome is None:
                return self._name_taken(job, position)
            is_doubtful |= outcome == "again"
        self._unheard.pop(job.id, None)
        return "perhaps-twice" if is_doubtful else "delivered"

    def _is_anothers(self, job: Job, export: Export) -> bool:
        key = self._place.key("out", export.name)
        return self._store.look(key) is not None and not self._is_ours(job, export, key)

    def _name_taken(self, job: Job, position: int) -> NameTaken:
        name, staged = job.exports[position].name, self._staged(job.id) or set()
        delivered = tuple(place for place, export in enumerate(job.exports) if export.staged_as not in staged)
        return NameTaken(position=position, taken=frozenset({name, *self.taken_numbers(name)}), delivered=delivered)

    def forget(self, job_id: JobId) -> None:
        """Its exports are fetched anew: what was sent before is everybody's doubt."""
        self._unheard.pop(job_id, None)

    def _doubtful(self, job: Job) -> set[str]:
        """Which exports may have been sent before, with nobody knowing what became of them."""
        if job.id not in self._unheard:
            is_first = self._store.put_new(self._place.own_key(job.id, DELIVERING), b"", {JOB: job.id})
            self._unheard[job.id] = set() if is_first else {export.staged_as for export in job.exports}
        return self._unheard[job.id]

    def _deliver_one(self, job: Job, export: Export, doubtful: set[str]) -> Literal["sent", "again"] | None:
        """None where its name is taken by another's."""
        was_doubtful = export.staged_as in doubtful
        key = self._place.key("out", export.name)
        doubtful.add(export.staged_as)
        try:
            is_new = self._send(job, export, key)
        except StoreTrouble as trouble:
            if trouble.is_certain_no and not was_doubtful:
                doubtful.discard(export.staged_as)
            raise
        if not is_new and not self._is_ours(job, export, key):
            doubtful.discard(export.staged_as)
            return None
        self._unstage(job.id, export)
        doubtful.discard(export.staged_as)
        return "again" if is_new and was_doubtful else "sent"

    def _send(self, job: Job, export: Export, key: str) -> bool:
        path = self._layout.staging_path(job.id, export.staged_as)
        if export.size_bytes > WHOLE_BYTES:
            aside = self._place.own_key(job.id, f"{LARGE}-{export.staged_as}")
            self._store.put_parts(aside, path)
            return self._store.copy_new(aside, key)
        with troubled(path, "read staged exports from"), open(path, "rb") as file:
            content = file.read()
        return self._store.put_new(key, content, _told(job, export))

    def _is_ours(self, job: Job, export: Export, key: str) -> bool:
        found = self._store.told(key)
        if found is None:  # it was there a moment ago: whose it was, nobody can say any more
            raise StoreTrouble("gone", f"{key} was there and is gone again; looked at anew in a while")
        seen, told = found
        if told.get(JOB) == job.id:
            return told.get(SHA256) == export.sha256 and told.get(PART) == export.staged_as
        if seen.size_bytes != export.size_bytes or export.size_bytes <= WHOLE_BYTES or JOB in told:
            return False
        return digest_of(self._store, key) == export.sha256  # a large one, which has no metadata

    def taken_numbers(self, name: bytes) -> Iterator[bytes]:
        """The numbered names after `name` that are taken, up to the first that is free."""
        for candidate in islice(numbered(name), LOOKED_AT):
            if self._store.look(self._place.key("out", candidate)) is None:
                return
            yield candidate

    def _without_staging(self, job: Job) -> Outcome:
        """Another machine carried this job, or somebody cleaned up: what lies at the recorded names tells."""
        if self._store.look(self._place.own_key(job.id, DELIVERING)) is None:
            return "never-sent"
        for export in job.exports:
            key = self._place.key("out", export.name)
            if self._store.look(key) is None or not self._is_ours(job, export, key):
                return "lost"
        return "delivered"

    def read(self, export: Export) -> bytes:
        found = self._store.read(self._place.key("out", export.name), most_bytes=export.size_bytes + 1)
        return found[1] if found is not None else b""

    def mark(self, job: Job) -> None:
        """NAME.done beside each export that still stands at its place."""
        for export in job.exports:
            if self._store.look(self._place.key("out", export.name)) is not None:
                self._store.put_new(self._place.key("out", marker_name(export.name)), b"")

    # ------------------------------------------------------------------------------------------- local staging

    def _staged(self, job_id: JobId) -> set[str] | None:
        """What is still to be delivered; None where staging or its manifest is gone."""
        with troubled(self._layout.out, "look into staging in"):
            try:
                with (
                    places.root_folder(self._layout.out) as out,
                    places.folder_below(out, STAGING + b"/" + job_id.encode()) as folder,
                ):
                    return set(os.listdir(folder)) if staging.read_manifest(folder) is not None else None
            except (FileNotFoundError, NotADirectoryError):
                return None

    def _unstage(self, job_id: JobId, export: Export) -> None:
        path = self._layout.staging_path(job_id, export.staged_as)
        with troubled(path, "clear staging in"), contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _told(job: Job, export: Export) -> dict[str, str]:
    return {JOB: job.id, SHA256: export.sha256, PART: export.staged_as}

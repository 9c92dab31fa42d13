"""Originals from work/ to done/ or failed/, each beside its receipt; and back, when a person orders a retry.

May be repeated after a crash at any point. A name is taken by a create that only a free one lets through, the copy is
proven, and only then does the original leave work/. Nothing is replaced but a receipt of the same job.
"""

from __future__ import annotations

import datetime
import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, Literal

from hopperd.buckets.place import OWN, Place, Role
from hopperd.buckets.scratch import Scratch, digest_of, have_same_bytes
from hopperd.buckets.seen import Seen
from hopperd.buckets.store import JOB, PART, SHA256, WHOLE_BYTES, Store, StoreTrouble
from hopperd.folders.file_away import CHANGED, KEPT, TAKEN_AWAY, has_failed
from hopperd.folders.receipts import NAMES_TRIED, RECEIPT_BYTES
from hopperd.pipeline.job import Job, JobId, Original, is_job_id
from hopperd.pipeline.naming import numbered, receipt_name
from hopperd.ports import NameTaken

LOOKED_AT: Final = 50
FILES_AT_ONCE: Final = 500
OVERWRITES: Final = 3


class Filing:
    def __init__(self, store: Store, place: Place, scratch: Scratch) -> None:
        self._store = store
        self._place = place
        self._scratch = scratch

    def file_away(
        self, job: Job, receipts: Mapping[int, bytes], *, delete_delivered: bool
    ) -> Sequence[tuple[int, str]] | NameTaken:
        """Originals to their recorded places, then their receipts. Notes by position say what was noticed."""
        root: Role = "failed" if has_failed(job) else "done"
        delete = delete_delivered and job.outcome == "delivered"
        notes = []
        for position, original in enumerate(job.originals):
            note = self._file(job, position, root, delete=delete)
            if note is False:
                taken = {_filed_as(original), *self._taken_numbers(root, _filed_as(original))}
                return NameTaken(position=position, taken=frozenset(taken))
            if note is not None:
                notes.append((position, note))
        for position, content in sorted(receipts.items()):
            self._write_receipt(root, _filed_as(job.originals[position]), job.id, content)
        for seen in list(self._store.listed(self._place.own_key(job.id, "")[:-1])):
            if self._place.below("work", seen.key).partition(b"/")[2].startswith(OWN.encode()):
                self._store.remove(seen.key)
        self._scratch.drop(job.id)
        return notes

    def _file(self, job: Job, position: int, root: Role, *, delete: bool) -> str | Literal[False] | None:
        """The note, if any; False where the name is taken."""
        original = job.originals[position]
        here = self._store.look(self._place.work_key(job.id, original.name))
        there = self._place.key(root, _filed_as(original))
        if here is None:
            return None if delete else self._filed_before(job, position, there)
        is_changed = not here.identity.same_file(original.identity)
        if delete and not is_changed:
            self._store.remove(here.key)
            return None
        if not self._put_there(job, position, here, there, is_changed=is_changed):
            return False
        self._store.remove(here.key)
        if is_changed:
            return KEPT if delete else CHANGED
        return None

    def _put_there(self, job: Job, position: int, here: Seen, there: str, *, is_changed: bool) -> bool:
        """The copy, proven. False where another object has the name."""
        if here.size_bytes > WHOLE_BYTES:
            is_new = self._store.copy_new(here.key, there)
        else:
            content, digest = self._content(job.id, job.originals[position], here, is_changed=is_changed)
            is_new = self._store.put_new(there, content, {JOB: job.id, SHA256: digest, PART: str(position)})
        found = self._store.told(there)
        if found is None:
            raise StoreTrouble("gone", f"{there} was there and is gone again; looked at anew in a while")
        if not is_new and not self._is_ours(job, position, here, *found):
            return False
        if not have_same_bytes(self._store, here, found[0]):
            raise StoreTrouble("disk", f"{there} does not hold what was written to it")
        return True

    def _is_ours(self, job: Job, position: int, here: Seen, there: Seen, told: Mapping[str, str]) -> bool:
        if told.get(JOB) is not None or here.size_bytes <= WHOLE_BYTES:
            return (told.get(JOB), told.get(PART)) == (job.id, str(position))
        # A large one has no metadata: the same bytes are ours unless another job's receipt lies beside them.
        if here.size_bytes != there.size_bytes or not have_same_bytes(self._store, here, there):
            return False
        return self._job_of(self._receipt_key(there.key)) in (None, job.id)

    def _content(self, job_id: JobId, original: Original, here: Seen, *, is_changed: bool) -> tuple[bytes, str]:
        digest = original.sha256
        if is_changed or not self._scratch.has(job_id, original):
            fetched = self._scratch.fetch(self._store, here.key, job_id, original.name)
            if fetched is None:
                raise StoreTrouble("gone", f"{here.key} was there and is gone again; looked at anew in a while")
            digest = fetched[1]
        try:
            with open(self._scratch.path(job_id, original.name), "rb") as file:
                return file.read(), digest
        except OSError as error:
            what = f"a local copy cannot be read: {os.strerror(error.errno or errno.EIO)}"
            raise StoreTrouble("disk", what) from error

    def _filed_before(self, job: Job, position: int, there: str) -> str | None:
        """The note for an original that is no longer in work/: is what stands at its place this file?"""
        found = self._store.told(there)
        if found is None:
            return TAKEN_AWAY
        seen, told = found
        original = job.originals[position]
        if (told.get(JOB), told.get(PART)) == (job.id, str(position)):
            return None if told.get(SHA256) == original.sha256 else CHANGED
        if JOB in told or seen.size_bytes != original.size_bytes:
            return TAKEN_AWAY
        return None if digest_of(self._store, there) == original.sha256 else TAKEN_AWAY

    def _taken_numbers(self, root: Role, name: bytes) -> Iterator[bytes]:
        for candidate in islice(numbered(name), LOOKED_AT):
            if self._store.look(self._place.key(root, candidate)) is None:
                return
            yield candidate

    # ------------------------------------------------------------------------------------------------ receipts

    def _receipt_key(self, filed: str) -> str:
        return receipt_name(filed.encode()).decode()

    def _write_receipt(self, root: Role, filed_as: bytes, job_id: JobId, content: bytes) -> None:
        first = receipt_name(filed_as)
        for name in chain((first,), islice(numbered(first), NAMES_TRIED)):
            key = self._place.key(root, name)
            if self._store.put_new(key, content, {JOB: job_id}) or self._replace_own(key, job_id, content):
                return
        raise StoreTrouble("gone", f"all names for the receipt of {first.decode()} are taken")

    def _replace_own(self, key: str, job_id: JobId, content: bytes) -> bool:
        """Over a receipt of the same job; False where another has the name."""
        for _ in range(OVERWRITES):
            found = self._store.read(key, most_bytes=RECEIPT_BYTES)
            if found is None or job_in(found[1]) != job_id:
                return False
            if found[1] == content or self._store.put_over(found[0], content):
                return True
        raise StoreTrouble("gone", f"{key} changes again and again")

    def _job_of(self, key: str) -> str | None:
        found = self._store.read(key, most_bytes=RECEIPT_BYTES)
        return job_in(found[1]) if found is not None else None

    def has_receipt(self, root: Role, filed_as: bytes, job_id: JobId) -> bool:
        return any(of == job_id for _, of in self._beside(root, filed_as))

    def _remove_receipt(self, root: Role, filed_as: bytes, job_id: JobId) -> None:
        ours = next((key for key, of in self._beside(root, filed_as) if of == job_id), None)
        if ours is not None:
            self._store.remove(ours)

    def _beside(self, root: Role, filed_as: bytes) -> Iterator[tuple[str, str]]:
        """The receipts of an original, as far as their names were counted on, and whose each is; "" where nobody's."""
        first = receipt_name(filed_as)
        for name in chain((first,), islice(numbered(first), NAMES_TRIED)):
            key = self._place.key(root, name)
            of = self._job_of(key)
            if of is None:
                return
            yield key, of

    # ------------------------------------------------------------------------------------------------ and back

    def reclaim(self, job: Job) -> tuple[Original, ...]:
        """The originals of a retried job into work/ again, digested anew; then their receipts go.

        Whoever repaired a file in failed/ before ordering the retry finds the repaired one taken. FileNotFoundError
        where an original is nowhere, or nothing tells that what has its name by now is no one else's.
        """
        originals = tuple(self._bring_back(job, original) for original in job.originals)
        for root in _FILED:
            for original in job.originals:
                self._remove_receipt(root, _filed_as(original), job.id)
        return originals

    def _bring_back(self, job: Job, original: Original) -> Original:
        target = self._place.work_key(job.id, original.name)
        for root in _FILED:
            source = self._store.look(self._place.key(root, _filed_as(original)))
            if source is None or not self._is_its_own(job, original, root, source):
                continue
            copy = self._store.look(target)
            if copy is None or not have_same_bytes(self._store, source, copy):
                if copy is not None:
                    break  # in work/ already: what lies there now is somebody else's
                self._store.copy(source.key, target)
                copy = self._store.look(target)
            if copy is None or not have_same_bytes(self._store, source, copy):
                raise StoreTrouble("gone", f"{source.key} changed while it was brought back; tried again in a while")
            self._store.remove(source.key)
            break
        return self.digest(job.id, original.name)

    def _is_its_own(self, job: Job, original: Original, root: Role, source: Seen) -> bool:
        """Not an object that was put or filed there after the original had been taken away.

        Its metadata tells, or the job's receipt alone lies beside it: one that somebody repaired, or that is large,
        has no metadata. Otherwise its bytes tell, unless only others' receipts lie there.
        """
        found = self._store.told(source.key)
        if found is None or JOB in found[1]:
            return found is not None and found[1][JOB] == job.id
        beside = {of for _, of in self._beside(root, _filed_as(original)) if of}
        if beside == {job.id}:
            return True
        return (not beside or job.id in beside) and digest_of(self._store, source.key) == original.sha256

    def digest(self, job_id: JobId, name: bytes) -> Original:
        """Fetch an original in work/ and take its digests. FileNotFoundError where it is not there."""
        fetched = self._scratch.fetch(self._store, self._place.work_key(job_id, name), job_id, name)
        if fetched is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        seen, sha256, sha512 = fetched
        return Original(name=name, identity=seen.identity, sha256=sha256, sha512=sha512)

    # ----------------------------------------------------------------------------------------------- retention

    def clear_done(self, before: datetime.date, limit: int = FILES_AT_ONCE) -> int:
        """Remove originals and receipts filed on days before `before`; returns how many went."""
        removed = 0
        for day, prefix in self._days():
            if day >= before:
                break
            for seen in islice(self._store.listed(prefix), limit - removed):
                self._store.remove(seen.key)
                removed += 1
            if removed >= limit:
                break
        return removed

    def _days(self) -> Iterator[tuple[datetime.date, str]]:
        """The days that hopperd itself made, oldest first."""
        for year in self._numbers(self._place.root("done"), 4):
            for month in self._numbers(year, 2):
                for day in self._numbers(month, 2):
                    parts = day.rsplit("/", 3)[-3:]
                    try:
                        yield datetime.date(*(int(part) for part in parts)), day
                    except ValueError:
                        continue

    def _numbers(self, prefix: str, digits: int) -> list[str]:
        found = self._store.level(prefix)[1]
        ends = ((one, one.rpartition("/")[2]) for one in found)
        return [one for one, end in ends if end.isascii() and end.isdigit() and len(end) == digits]


_FILED: Final[tuple[Role, Role]] = ("failed", "done")


def _filed_as(original: Original) -> bytes:
    return original.filed_as or original.name


def job_in(content: bytes) -> str:
    """Whose receipt it is; "" where it is nobody's."""
    document = receipt_in(content)
    return str(document["job"]) if document is not None else ""


def receipt_in(content: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and is_job_id(str(document.get("job"))) else None

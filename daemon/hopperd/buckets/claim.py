"""The moment an object becomes ours: a marker that only one can create, a proven copy into work/, then the removal.

The marker names the job. Whoever finds one that was abandoned finishes that job's claim, and never makes a second job
of it. An object leaves in/ only as the very version whose copy was proven: what somebody put there meanwhile is a new
one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hopperd.buckets.place import CLAIMS, OWN, Place
from hopperd.buckets.scratch import Scratch, have_same_bytes
from hopperd.buckets.seen import Seen
from hopperd.buckets.store import Store, StoreTrouble
from hopperd.pipeline.identity import group_of
from hopperd.pipeline.job import JobId, Original, is_job_id
from hopperd.ports import Leftover

LEASE_SECONDS: Final = 60.0
"""A marker that another process has left standing for so long, as we saw it, is abandoned."""

REFUSED_KEPT: Final = 200
_MARKER_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One object of a claim: its path below in/, and the version that is claimed."""

    name: bytes
    seen: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marker:
    """What a standing marker says, and which version of it says so."""

    seen: Seen
    job_id: JobId
    owner: str
    members: tuple[Member, ...]


class Claims:
    """The claims of one hot folder. `owner` names the state folder we work from: its lock makes us the only one of it.

    So a marker of ours that no call of ours is working on was left by a process of ours that died.
    """

    def __init__(
        self,
        store: Store,
        place: Place,
        scratch: Scratch,
        owner: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._place = place
        self._scratch = scratch
        self._owner = owner
        self._monotonic = monotonic
        self._working: set[JobId] = set()
        self._first_seen: dict[str, tuple[Seen, float]] = {}
        self.took_over = False  # work/ holds what is to be adopted
        self.refused: dict[bytes, str] = {}  # in in/, and what the store says of them

    # ------------------------------------------------------------------------------------------------- claiming

    def claim(self, job_id: JobId, name: bytes, members: Sequence[Member]) -> tuple[Original, ...] | None:
        """Make these objects the job's, all or none. None: somebody else claims them, or they are not as they were."""
        key = self._place.claim_key(name)
        self._working.add(job_id)
        try:
            if not self._store.put_new(key, self._said(job_id, members)):
                self._look_at_marker(key)
                return None
            began = self._monotonic()
            originals: tuple[Original, ...] | None = None
            try:
                originals = self._copy_all(job_id, members)
            except StoreTrouble as trouble:
                if trouble.kind != "denied":
                    raise
                self._refuse(name, trouble)
            if self._monotonic() - began > LEASE_SECONDS / 2:
                return None  # we slept: somebody may be finishing this claim by now. Ours again if nobody does
            if originals is None:
                self._back_out(job_id, members)
            else:
                self._remove_claimed(members)
                self.refused.pop(name, None)
            self._store.remove(key)
            return originals
        finally:
            self._working.discard(job_id)

    def _refuse(self, name: bytes, trouble: StoreTrouble) -> None:
        """One object that may not be read stops nobody else: it is put down, told, and tried again at each sweep."""
        if len(self.refused) < REFUSED_KEPT:
            self.refused[name] = trouble.what

    def _said(self, job_id: JobId, members: Sequence[Member]) -> bytes:
        listed = [
            {"name": one.name.decode(), "etag": one.seen.etag, "size": one.seen.size_bytes, "at": one.seen.modified}
            for one in members
        ]
        return json.dumps({"job": job_id, "owner": self._owner, "members": listed}).encode()

    def _copy_all(self, job_id: JobId, members: Sequence[Member]) -> tuple[Original, ...] | None:
        originals = []
        for member in members:
            original = self._copy(job_id, member)
            if original is None:
                return None
            originals.append(original)
        return tuple(originals)

    def _copy(self, job_id: JobId, member: Member) -> Original | None:
        """Copy one, digest the copy, prove it to be of the version that was claimed."""
        if not self._is_still(member):
            return None
        target = self._place.work_key(job_id, member.name)
        if not self._store.copy(member.seen.key, target):
            return None
        fetched = self._scratch.fetch(self._store, target, job_id, member.name)
        if fetched is None:
            return None
        copy, sha256, sha512 = fetched
        if not copy.has_bytes_of(member.seen):
            now = self._store.look(member.seen.key)
            if now is None or not now.is_same_version(member.seen) or not have_same_bytes(self._store, now, copy):
                return None
        return Original(name=member.name, identity=copy.identity, sha256=sha256, sha512=sha512)

    def _is_still(self, member: Member) -> bool:
        now = self._store.look(member.seen.key)
        return now is not None and now.is_same_version(member.seen)

    def _remove_claimed(self, members: Sequence[Member]) -> None:
        for member in members:
            if self._is_still(member):
                self._store.remove(member.seen.key)

    def _back_out(self, job_id: JobId, members: Sequence[Member]) -> None:
        """Nothing has left in/ yet, so the copies may go."""
        for member in members:
            self._store.remove(self._place.work_key(job_id, member.name))
        self._scratch.drop(job_id)

    # ----------------------------------------------------------------------------------------- abandoned markers

    def finish_abandoned(self) -> set[JobId]:
        """Finish every claim whose process died; the jobs whose claims somebody is at work on."""
        busy: set[JobId] = set()
        for seen in self._store.listed(f"{self._place.root('work')}/{CLAIMS}"):
            marker = self._marker(seen.key)
            if marker is None:
                continue
            try:
                is_settled = self._settle(marker)
            except StoreTrouble:  # about this object perhaps; where it is about all, the next call says so
                is_settled = False
            if not is_settled:
                busy.add(marker.job_id)
        return busy

    def _look_at_marker(self, key: str) -> None:
        marker = self._marker(key)
        if marker is not None and self._settle(marker):
            self.took_over = True

    def _settle(self, marker: _Marker) -> bool:
        """False while its owner may be at work on it. Else the claim is finished, and what it got lies in work/."""
        if marker.job_id in self._working or not self._is_abandoned(marker):
            return False
        for member in marker.members:
            copy = self._store.look(self._place.work_key(marker.job_id, member.name))
            now = self._store.look(member.seen.key)
            if now is not None and now.is_same_version(member.seen):
                # Copied again if need be: nobody else is at it, and what lies there may be of another version.
                is_proven = copy is not None and have_same_bytes(self._store, now, copy)
                if not is_proven and not self._copy(marker.job_id, member):
                    continue
            elif copy is not None and now is not None and have_same_bytes(self._store, now, copy):
                self._store.remove(copy.key)  # of the newer version, which lies in in/
        self._remove_copied(marker)
        self._store.remove(marker.seen.key)
        self._first_seen.pop(marker.seen.key, None)
        return True

    def _remove_copied(self, marker: _Marker) -> None:
        for member in marker.members:
            copied = self._store.look(self._place.work_key(marker.job_id, member.name)) is not None
            if copied and self._is_still(member):
                self._store.remove(member.seen.key)

    def _is_abandoned(self, marker: _Marker) -> bool:
        if marker.owner == self._owner:
            return True
        first, since = self._first_seen.setdefault(marker.seen.key, (marker.seen, self._monotonic()))
        if not first.is_same_version(marker.seen):
            self._first_seen[marker.seen.key] = (marker.seen, self._monotonic())
            return False
        return self._monotonic() - since >= LEASE_SECONDS

    def _marker(self, key: str) -> _Marker | None:
        """None where it is gone; one that nobody understands names no job, and stands until a person removes it."""
        found = self._store.read(key, most_bytes=_MARKER_BYTES)
        if found is None:
            return None
        try:
            said: Any = json.loads(found[1])
            members = tuple(self._member(one) for one in said["members"])
            return _Marker(seen=found[0], job_id=JobId(str(said["job"])), owner=str(said["owner"]), members=members)
        except (ValueError, KeyError, TypeError):
            return None

    def _member(self, one: Any) -> Member:
        name = str(one["name"]).encode()
        seen = Seen(
            key=self._place.key("in", name), etag=str(one["etag"]), size_bytes=int(one["size"]), modified=int(one["at"])
        )
        return Member(name=name, seen=seen)

    # ----------------------------------------------------------------------------------------------------- work/

    def leftovers(self, *, by_folder: bool) -> list[Leftover]:
        """What lies in work/ and is nobody's claim in progress. What was abandoned half-way is finished first."""
        busy = self.finish_abandoned()
        self.took_over = False
        return [one for one in in_work(self._store, self._place, by_folder=by_folder)[0] if one.job_id not in busy]

    def standing(self) -> int:
        """How many markers stand."""
        return sum(1 for _ in self._store.listed(f"{self._place.root('work')}/{CLAIMS}"))

    def in_progress(self) -> set[JobId]:
        """Jobs that markers name: for whoever only looks."""
        markers = (self._marker(seen.key) for seen in self._store.listed(f"{self._place.root('work')}/{CLAIMS}"))
        return {marker.job_id for marker in markers if marker is not None}


def in_work(store: Store, place: Place, *, by_folder: bool) -> tuple[list[Leftover], list[bytes]]:
    """All jobs with originals in work/, and what else lies there."""
    found: dict[JobId, list[bytes]] = {}
    strays = []
    for name in names_below(store, place):
        job_id, _, rest = name.partition(b"/")
        if not is_job_id(job_id.decode()) or not rest:
            strays.append(name)
        elif not rest.startswith(OWN.encode()):
            found.setdefault(JobId(job_id.decode()), []).append(rest)
    jobs = [
        Leftover(job_id=job_id, names=tuple(names), group=group_of(names, by_folder=by_folder))
        for job_id, names in sorted(found.items())
    ]
    return jobs, strays


def names_below(store: Store, place: Place) -> Iterator[bytes]:
    """Paths below work/, without what is hopperd's own at its top."""
    for seen in store.listed(place.root("work")):
        name = place.below("work", seen.key)
        if not name.startswith(OWN.encode()):
            yield name

"""Promise 1 in a bucket: one claim wins, each version of an object is claimed or still in in/, whoever dies when."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopperd.buckets.claim import LEASE_SECONDS, Claims
from hopperd.buckets.disk import Bucket
from hopperd.buckets.listing import Candidate
from hopperd.folders.selection import Selection
from hopperd.pipeline.job import JobId, Original
from hopperd.ports import FolderTrouble
from tests.support.bucket import KEYS, InBucket, InFront, StoreProcess, many, needs_store
from tests.support.dying_store import dying, meddled_with
from tests.support.hot_folder import Died, job_id
from tests.support.line import environment

pytestmark = needs_store
OLD, NEW = b"%PDF the old one %%EOF", b"%PDF a newer one, put meanwhile %%EOF"
_numbers = itertools.count(100)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with StoreProcess(tmp_path_factory.mktemp("store") / "log") as process:
        yield process


@pytest.fixture
def inbox(server: StoreProcess, tmp_path: Path) -> InBucket:
    return InBucket(server, tmp_path / "state")


def candidates(bucket: Bucket, *, by_folder: bool = False) -> dict[bytes, Candidate]:
    swept = bucket.listing.sweep(Selection(), at=0.0, by_folder=by_folder, order="oldest", limit=1000, skip={})
    return {one.name: one for one in swept.candidates if isinstance(one, Candidate)}


def claim(bucket: Bucket, candidate: Candidate, of: JobId | None = None) -> tuple[Original, ...] | None:
    members = bucket.listing.members(Selection(), candidate)
    return bucket.claims.claim(of or job_id(next(_numbers)), candidate.name, members) if members else None


def claim_all(bucket: Bucket, *, by_folder: bool = False) -> list[JobId]:
    """What an intake does: adopt what a dead process left, then claim what is there; the jobs that come of it."""
    jobs = [one.job_id for one in bucket.claims.leftovers(by_folder=by_folder) if one.names]
    for candidate in candidates(bucket, by_folder=by_folder).values():
        of = job_id(next(_numbers))
        if claim(bucket, candidate, of):
            jobs.append(of)
    jobs += [one.job_id for one in bucket.claims.leftovers(by_folder=by_folder) if one.job_id not in jobs]
    return jobs


@pytest.mark.parametrize("name", ["x.pdf", "a/b/Rechnung ä #1 100%+?.pdf", "n" * 200 + ".pdf", '~[1]{}|\\^`<>".pdf'])
def test_a_claimed_object_lies_in_work_with_its_digests_and_a_copy_to_read(inbox: InBucket, name: str) -> None:
    inbox.put(name, OLD)
    bucket, of = inbox.bucket(), job_id(next(_numbers))
    taken = claim(bucket, candidates(bucket)[name.encode()], of)
    assert taken is not None and len(taken) == 1
    assert taken[0].sha256 == hashlib.sha256(OLD).hexdigest() and taken[0].sha512 == hashlib.sha512(OLD).hexdigest()
    assert inbox.originals() == {f"{of}/{name}": OLD}
    assert inbox.files("in") == {} and inbox.markers() == []
    assert bucket.scratch.has(of, taken[0])
    assert Path(bucket.scratch.path(of, taken[0].name).decode()).read_bytes() == OLD


def test_of_eight_that_claim_one_object_exactly_one_wins(inbox: InBucket) -> None:
    inbox.put("x.pdf", OLD)
    buckets = [inbox.bucket(owner=f"node-{n}") for n in range(8)]
    seen = candidates(buckets[0])[b"x.pdf"]
    won = [taken for taken in many(lambda n: claim(buckets[n], seen), 8) if taken]
    assert len(won) == 1, "promise 1: one original, one job"
    assert list(inbox.originals().values()) == [OLD]
    assert inbox.files("in") == {} and inbox.markers() == []


RACER = """
import sys
from pathlib import Path
from hopperd.folders.selection import Selection
from hopperd.pipeline.job import new_job_id
from tests.support.bucket import BUCKET, KEYS, bucket_of
from hopperd.buckets.store import open_store
url, prefix, state, owner = sys.argv[1:]
bucket = bucket_of(open_store(BUCKET, url, KEYS), Path(state), owner=owner, prefix=prefix)
found = bucket.listing.sweep(Selection(), at=0.0, by_folder=False, order="name", limit=1000, skip={}).candidates
print("ready", flush=True)
sys.stdin.readline()
for number, one in enumerate(found):
    of = new_job_id(1_780_000_000.0 + int(owner), number.to_bytes(5, "big"))
    if bucket.claims.claim(of, one.name, bucket.listing.members(Selection(), one)):
        print(one.name.decode(), flush=True)
"""


def test_two_processes_that_claim_the_same_thirty_objects_share_them(inbox: InBucket, tmp_path: Path) -> None:
    names = [f"{n:03}.pdf" for n in range(30)]
    for name in names:
        inbox.put(name, name.encode())
    arguments = [inbox.server.url, inbox.prefix]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, *arguments, str(tmp_path / owner), owner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment(), **KEYS},
        )
        for owner in ("1", "2")
    ]
    for racer in racers:
        assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    won = [racer.communicate(timeout=120)[0].split() for racer in racers]
    assert sorted(won[0] + won[1]) == names, "promise 1: each original is claimed once"
    assert sorted(inbox.originals().values()) == [name.encode() for name in names]
    assert inbox.files("in") == {} and inbox.markers() == []


@pytest.mark.parametrize(
    ("after", "again"),
    [(False, "the same process again"), (True, "the same process again"), (True, "another, after the lease")],
)
def test_a_death_at_any_call_of_a_claim_loses_nothing_and_makes_one_job(
    inbox: InBucket, after: bool, again: str
) -> None:
    deaths = 0
    for at in itertools.count(1):
        inbox.prefix = f"t/{uuid.uuid4().hex}"
        inbox.put("a/x.pdf", OLD)
        seen = candidates(inbox.bucket())[b"a/x.pdf"]
        store, _ = dying(inbox.server.store(), at, after=after)
        try:
            claim(inbox.bucket(store), seen)
        except Died:
            deaths += 1
        else:
            break
        lies = [*inbox.files("in").values(), *inbox.originals().values()]
        assert OLD in lies, f"promise 1 broken: gone after a death at call {at}"
        jobs = claim_all(inbox.bucket()) if again.startswith("the same") else _after_the_lease(inbox)
        assert len(jobs) == 1, f"promise 1: {len(jobs)} jobs after a death at call {at}"
        assert inbox.originals() == {f"{jobs[0]}/a/x.pdf": OLD}
        assert inbox.files("in") == {} and inbox.markers() == []
    assert deaths >= 7


def _after_the_lease(inbox: InBucket) -> list[JobId]:
    """Another node: at first it lets the claim be, and takes it over once nobody has moved it for so long."""
    now = 1_000.0
    bucket = inbox.bucket(owner="another")
    bucket = Bucket.of(bucket.store, bucket.place, bucket.local, "another")
    claims = Claims(bucket.store, bucket.place, bucket.scratch, "another", lambda: now)
    bucket = Bucket(**{name: getattr(bucket, name) for name in Bucket.__slots__} | {"claims": claims})
    stood = bool(inbox.markers())
    first = claim_all(bucket)
    if stood:
        assert first == [], "a claim that somebody may be at work on was taken over"
    now += LEASE_SECONDS
    return first or claim_all(bucket)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_newer_version_put_at_any_moment_of_a_claim_is_not_deleted(inbox: InBucket, after: bool) -> None:
    """All but one moment: between the look at an object in in/ and its removal. The docs say so."""
    for at in itertools.count(1):
        inbox.prefix = f"t/{uuid.uuid4().hex}"
        inbox.put("x.pdf", OLD)
        bucket = inbox.bucket()
        seen = candidates(bucket)[b"x.pdf"]
        store, calls = meddled_with(inbox.server.store(), at, lambda: inbox.put("x.pdf", NEW), after=after)
        taken = claim(inbox.bucket(store), seen)
        if len(calls) < at:
            break
        is_the_window = ("remove", f"{inbox.prefix}/in/x.pdf") in (
            calls[at - 1] if not after else ("", ""),
            calls[at] if after and at < len(calls) else ("", ""),
        )
        lies = [*inbox.files("in").values(), *inbox.originals().values()]
        assert (NEW in lies) != is_the_window, f"promise 1: the newer version is gone, put at call {at}: {calls}"
        if taken:
            assert [hashlib.sha256(content).hexdigest() for content in inbox.originals().values()] == [taken[0].sha256]
            assert taken[0].sha256 == hashlib.sha256(OLD).hexdigest()
        else:
            assert inbox.originals() == {}, "a claim that was called off left its copy in work/"
        assert inbox.markers() == []


def test_what_changed_or_vanished_since_it_was_seen_is_not_claimed(inbox: InBucket) -> None:
    for name in ("changed.pdf", "vanished.pdf"):
        inbox.put(name, OLD)
    bucket = inbox.bucket()
    seen = candidates(bucket)
    inbox.put("changed.pdf", NEW)
    inbox.hand.remove(f"{inbox.prefix}/in/vanished.pdf")
    assert [claim(bucket, one) for one in seen.values()] == [None, None]
    assert inbox.files("in") == {"changed.pdf": NEW} and inbox.originals() == {} and inbox.markers() == []


def test_an_object_that_may_not_be_read_is_put_down_and_told_and_stops_nobody(inbox: InBucket) -> None:
    for name in ("denied.pdf", "fine.pdf"):
        inbox.put(name, OLD)
    with InFront(inbox.server.url, denies="denied.pdf") as front:
        bucket = inbox.bucket(inbox.server.store(front.url))
        seen = candidates(bucket)
        assert claim(bucket, seen[b"denied.pdf"]) is None
        assert claim(bucket, seen[b"fine.pdf"]) is not None
        assert list(bucket.claims.refused) == [b"denied.pdf"] and "403" in bucket.claims.refused[b"denied.pdf"]
        assert inbox.files("in") == {"denied.pdf": OLD} and inbox.markers() == []
    bucket = inbox.bucket()
    assert claim(bucket, candidates(bucket)[b"denied.pdf"]) is not None


def test_nothing_is_concluded_while_the_store_refuses_everything(inbox: InBucket) -> None:
    inbox.put("x.pdf", OLD)
    with InFront(inbox.server.url) as front:
        bucket = inbox.bucket(inbox.server.store(front.url))
        seen = candidates(bucket)[b"x.pdf"]
        front.answer(403)
        with pytest.raises(FolderTrouble, match="403"):
            claim(bucket, seen)
        with pytest.raises(FolderTrouble, match="403"):
            bucket.claims.leftovers(by_folder=False)
        front.answer(None)
        assert claim_all(bucket) and inbox.files("in") == {} and inbox.markers() == []


# -------------------------------------------------------------------------------------------------------- groups


def test_a_group_is_claimed_whole_and_a_changed_one_not_at_all(inbox: InBucket) -> None:
    for name in ("g/1.pdf", "g/sub/2.pdf", "g/half.part", "h/1.pdf", "alone.pdf"):
        inbox.put(name, name.encode())
    bucket = inbox.bucket()
    seen = candidates(bucket, by_folder=True)
    assert set(seen) == {b"g", b"h", b"alone.pdf"}
    inbox.put("h/2.pdf", OLD)
    assert claim(bucket, seen[b"h"]) is None
    of = job_id(next(_numbers))
    taken = claim(bucket, seen[b"g"], of)
    assert taken is not None and [one.name for one in taken] == [b"g/1.pdf", b"g/sub/2.pdf"]
    assert set(inbox.files("in")) == {"g/half.part", "h/1.pdf", "h/2.pdf", "alone.pdf"}
    (left,) = bucket.claims.leftovers(by_folder=True)
    assert (left.job_id, left.group) == (of, b"g")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_death_at_any_call_of_a_groups_claim_keeps_it_together(inbox: InBucket, after: bool) -> None:
    for at in itertools.count(1):
        inbox.prefix = f"t/{uuid.uuid4().hex}"
        inbox.put("g/1.pdf", b"one")
        inbox.put("g/2.pdf", b"two")
        seen = candidates(inbox.bucket(), by_folder=True)[b"g"]
        store, calls = dying(inbox.server.store(), at, after=after)
        with contextlib.suppress(Died):
            claim(inbox.bucket(store), seen)
        if len(calls) < at:
            break
        jobs = claim_all(inbox.bucket(), by_folder=True)
        assert len(jobs) == 1, f"{len(jobs)} jobs after a death at call {at}: {calls[-1]}"
        assert inbox.originals() == {f"{jobs[0]}/g/1.pdf": b"one", f"{jobs[0]}/g/2.pdf": b"two"}
        assert inbox.files("in") == {} and inbox.markers() == []


def test_a_marker_that_nobody_understands_is_left_where_it_is(inbox: InBucket) -> None:
    inbox.put("x.pdf", OLD)
    bucket = inbox.bucket()
    inbox.hand.put(bucket.place.claim_key(b"x.pdf"), json.dumps({"job": 1}).encode())
    assert claim_all(bucket) == []
    assert inbox.files("in") == {"x.pdf": OLD} and len(inbox.markers()) == 1

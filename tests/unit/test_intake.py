"""The way in of a large folder: a sweep that took long is not waited for twice, and hints leave time for the rest."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hopperd.folders.candidates import Candidate
from hopperd.folders.layout import Layout
from hopperd.folders.sweep import look_again
from hopperd.ledger.store import Store
from hopperd.pipeline.job import Identity, JobId, Original, Policy, new_job_id
from hopperd.pipeline.settle import Answer, Look
from hopperd.ports import ALONE, Leftover, Swept
from hopperd.settings import Folder
from hopperd.workers import intake as intakes
from hopperd.workers.adoption import Adoption
from hopperd.workers.parts import FolderParts, Parts
from tests.support.stores import original

SWEEP_SECONDS = 7.0


class Clock:
    """Stands still, but for what is said to take time."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class LargeInbox:
    """A hundred files, of which a sweep takes seven seconds; `changed` are written to between two looks."""

    def __init__(
        self, clock: Clock, changed: frozenset[bytes] = frozenset(), sweep_seconds: float = SWEEP_SECONDS
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._sweep_seconds = sweep_seconds
        self._files = [b"%04d.pdf" % number for number in range(100)]
        self.sweeps: list[float] = []
        self.claimed: list[bytes] = []

    def _seen(self, name: bytes, size: int, at: float) -> Candidate:
        identity = Identity(device=1, inode=int(name[:4]), size_bytes=size, mtime_ns=1)
        return Candidate(name=name, identity=identity, look=Look(mark=(name, size), at=at))

    async def present(self) -> None:
        return

    async def leftovers(self) -> Sequence[Any]:
        return ()

    async def sweep(self, at: float, limit: int, skip: Mapping[bytes, Identity], *, quick: bool = False) -> Swept:
        self.sweeps.append(at)
        self._clock.at += self._sweep_seconds
        seen = [self._seen(name, 1, at) for name in self._files if name not in self.claimed]
        return Swept(candidates=seen[:limit], waiting=len(seen), left_alone=(), left_alone_total=0)

    async def look_again(self, candidates: Sequence[Candidate], at: float) -> Sequence[Candidate]:
        return [self._seen(one.name, 2 if one.name in self._changed else 1, at) for one in candidates]

    async def ask(self, candidate: Candidate) -> tuple[Answer, None]:
        return Answer(), None

    async def claim(self, job_id: JobId, candidate: Candidate) -> tuple[Original, ...]:
        self.claimed.append(candidate.name)
        return (original(candidate.name),)


class Nothing:
    async def staging_jobs(self) -> Sequence[JobId]:
        return ()


def line(state: Path, clock: Clock, inbox: LargeInbox, **settings: Any) -> tuple[Store, intakes.Intake]:
    store = Store.open_state(state, inline=True)
    folder = Folder(name="us", path=state / "us", account="main", region="US", **settings)  # type: ignore[call-arg]

    async def prepare() -> None:
        return

    parts = FolderParts(settings=folder, policy=Policy(), disk=Nothing(), inbox=inbox, prepare=prepare)  # type: ignore[arg-type]
    account: Any = SimpleNamespace(settings=SimpleNamespace(tasks_in_flight=900, uploads_at_once=10))
    all_parts = Parts(
        ledger=store,
        clock=clock,  # type: ignore[arg-type]
        inspector=None,  # type: ignore[arg-type]
        accounts={"main": account},
        folders={"us": parts},
        random=random.Random(1),
    )
    assert all_parts.lease is ALONE
    return store, intakes.Intake("us", all_parts, lambda: None)


@pytest.mark.asyncio
async def test_what_a_long_sweep_has_seen_is_claimed_when_it_has_been_quiet_since(tmp_path: Path) -> None:
    clock = Clock()
    inbox = LargeInbox(clock, changed=frozenset({b"0001.pdf"}))
    store, intake = line(tmp_path, clock, inbox, quiet_seconds=2.0)
    nap = await intake._turn()
    assert not inbox.claimed
    assert nap == pytest.approx(2.0)
    clock.at += nap - 0.01
    nap = await intake._turn()
    assert not inbox.claimed, "before it had been quiet"
    clock.at += nap
    await intake._turn()
    assert len(inbox.sweeps) == 1, "it was swept again"
    assert len(inbox.claimed) == 99
    assert b"0001.pdf" not in inbox.claimed, "it was written to"
    await store.close()


@pytest.mark.asyncio
async def test_a_short_sweep_is_made_again(tmp_path: Path) -> None:
    clock = Clock()
    inbox = LargeInbox(clock, sweep_seconds=0.1)
    store, intake = line(tmp_path, clock, inbox, quiet_seconds=2.0)
    nap = await intake._turn()
    clock.at += nap
    await intake._turn()
    assert len(inbox.sweeps) == 2
    assert len(inbox.claimed) == 100
    await store.close()


@pytest.mark.asyncio
async def test_hints_without_end_leave_three_quarters_of_the_time(tmp_path: Path) -> None:
    clock = Clock()
    inbox = LargeInbox(clock)
    store, intake = line(tmp_path, clock, inbox, quiet_seconds=2.0)
    while len(inbox.sweeps) < 4:
        intake.hint()
        nap = await intake._turn()
        clock.at += nap
    gaps = [later - earlier for earlier, later in zip(inbox.sweeps, inbox.sweeps[1:], strict=False)]
    assert min(gaps) >= 4 * SWEEP_SECONDS
    await store.close()


def test_a_second_look_sees_what_is_there_and_follows_no_link(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    (inside / "sub").mkdir(parents=True)
    for name in ("a.pdf", "sub/b.pdf", "gone.pdf"):
        (inside / name).write_bytes(b"%PDF-1.4 %%EOF")
    (inside / "link.pdf").symlink_to(inside / "a.pdf")
    (inside / "way").symlink_to(inside / "sub")
    layout = Layout.of(Folder(name="us", path=tmp_path, account="main", region="US"))  # type: ignore[call-arg]
    nobody = Identity(device=0, inode=0, size_bytes=0, mtime_ns=0)

    def candidate(name: bytes, *, is_group: bool = False) -> Candidate:
        return Candidate(name=name, identity=nobody, look=Look(mark=0, at=0.0, is_group=is_group))

    asked = [candidate(name) for name in (b"sub/b.pdf", b"gone.pdf", b"link.pdf", b"way/b.pdf", b"no/x.pdf", b"a.pdf")]
    (inside / "gone.pdf").unlink()
    seen = look_again(layout, [*asked, candidate(b"sub", is_group=True)], at=5.0)
    assert [one.name for one in seen] == [b"sub/b.pdf", b"a.pdf"]
    assert seen[1].identity.inode == (inside / "a.pdf").stat().st_ino
    assert seen[1].look.at == 5.0


@pytest.mark.asyncio
async def test_nothing_is_settled_while_what_a_dead_node_left_is_being_opened(tmp_path: Path) -> None:
    clock, settled = Clock(), []
    left = Leftover(job_id=new_job_id(clock.now() - 3600.0, b"12345"), names=(b"x.pdf",))

    class Left(LargeInbox):
        async def leftovers(self) -> Sequence[Leftover]:
            return () if opened_jobs else (left,)

    class Disk(Nothing):
        async def return_to_inbox(self, job_id: JobId, names: Sequence[bytes]) -> None:
            return

        async def digests(self, job_id: JobId, names: Sequence[bytes]) -> tuple[Original, ...]:
            return tuple(original(name) for name in names)

    opened_jobs: list[JobId] = []
    store, intake = line(tmp_path, clock, Left(clock))
    parts = intake._parts
    parts.lease = SimpleNamespace(is_shared=True)  # type: ignore[assignment]
    parts.folders["us"].disk = Disk()  # type: ignore[assignment]

    async def open_job(job_id: JobId, originals: tuple[Original, ...], **_: Any) -> None:
        settled.append(adoption.is_settled)
        opened_jobs.append(job_id)

    adoption = Adoption("us", parts, set(), open_job)
    adoption._is_called_for = False  # it has looked before
    adoption._again_at = clock.monotonic()
    assert await adoption.look_if_due()
    assert (opened_jobs, settled) == ([left.job_id], [False])
    assert adoption.is_settled
    await store.close()

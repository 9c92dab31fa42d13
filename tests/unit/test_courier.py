"""Promise: what is to be told is told at least once, whatever dies or refuses; and a broken morning is one message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hopperd.ledger.store import Store
from hopperd.pipeline.letters import NOTICE_KINDS, Letter, Mailing
from hopperd.ports import NotTaken, Pause
from hopperd.workers import courier, lookout
from hopperd.workers.courier import HookCourier, NoticeCourier, Pace
from hopperd.workers.lookout import Lookout, Views, Wishes
from tests.support.stores import NOW, moved, new_job, opened
from tests.support.virtual import VirtualClock, VirtualLoop

HOUR = 3600.0
LONG_AGO = 2 * 24 * HOUR
CHANNEL = "notices/webhook"
MAILING = Mailing(channels=(CHANNEL,), kinds=frozenset(NOTICE_KINDS))
PACE = Pace(gather_seconds=60.0, at_most_every_seconds=600.0)


class Somebody:
    """Takes letters, or refuses while `refuses` says so."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.refuses: Callable[[str], bool] = lambda letter_id: False
        self.tries: list[tuple[float, str]] = []
        self.took: list[tuple[float, str, Any]] = []
        self.at_once = self.most_at_once = 0
        self.took_seconds = 0.05

    async def take(self, letter_id: str, document: bytes) -> None:
        self.tries.append((self._now() - NOW, letter_id))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.took_seconds)
        self.at_once -= 1
        if self.refuses(letter_id):
            raise NotTaken("the receiver is closed")
        self.took.append((self._now() - NOW, letter_id, json.loads(document)))

    async def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day on a virtual clock costs what its rounds cost."""
    monkeypatch.setattr(courier, "LONGEST_NAP_SECONDS", 1800.0)
    monkeypatch.setattr(courier, "GIVEN_UP_AFTER_SECONDS", LONG_AGO)
    monkeypatch.setattr(lookout, "ROUND_SECONDS", 20.0)
    monkeypatch.setattr(lookout, "BACKLOG_EVERY_SECONDS", 600.0)


def lived(tmp_path: Path, life: Callable[[Store, VirtualClock], Awaitable[None]]) -> None:
    """One process on a virtual clock, on the ledger in `tmp_path`; it begins at NOW."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)

    async def live() -> None:
        store = Store.open_state(tmp_path / "state", inline=True)
        try:
            await life(store, VirtualClock(loop, NOW))
        finally:
            await store.close()

    try:
        loop.run_until_complete(live())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()
        asyncio.set_event_loop(None)


def deliveries(*numbers: int) -> list[Letter]:
    return [Letter(id=f"job{n:03d}.9", channel="hook/us", at=NOW, document=json.dumps({"job": n})) for n in numbers]


def counted(counts: dict[str, int]) -> Callable[[str, str], None]:
    def note(channel: str, outcome: str) -> None:
        counts[outcome] = counts.get(outcome, 0) + 1

    return note


def test_every_delivery_is_told_though_the_receiver_is_closed_for_half_a_day(tmp_path: Path) -> None:
    counts: dict[str, int] = {}

    async def life(store: Store, clock: VirtualClock) -> None:
        somebody = Somebody(clock.now)
        somebody.refuses = lambda letter_id: clock.now() < NOW + 12 * HOUR
        posting = HookCourier("hook/us", somebody, store, clock, counted(counts), at_once=8)
        store.on_letters = posting.wake
        running = asyncio.ensure_future(posting.run())
        await store.post(deliveries(*range(50)), {})
        await asyncio.sleep(11 * HOUR)
        assert posting.trouble == "the receiver is closed"
        assert len(somebody.tries) < 12 * 61 + 10, "a closed receiver is asked about once a minute, not fifty times"
        await asyncio.sleep(1 * HOUR + 200)
        assert posting.trouble is None
        assert sorted(letter_id for _, letter_id, _ in somebody.took) == [f"job{n:03d}.9" for n in range(50)]
        assert await store.letters_waiting() == {}
        assert somebody.most_at_once <= 8
        running.cancel()

    lived(tmp_path, life)
    assert counts["taken"] == 50
    assert "given-up" not in counts


def test_one_delivery_that_is_refused_for_ever_keeps_no_other_waiting_and_is_given_up_in_the_end(
    tmp_path: Path,
) -> None:
    counts: dict[str, int] = {}

    async def life(store: Store, clock: VirtualClock) -> None:
        somebody = Somebody(clock.now)
        somebody.refuses = lambda letter_id: letter_id == "job000.9"
        posting = HookCourier("hook/us", somebody, store, clock, counted(counts), at_once=4)
        running = asyncio.ensure_future(posting.run())
        await store.post(deliveries(*range(20)), {})
        await asyncio.sleep(120)
        assert len(somebody.took) == 19
        await asyncio.sleep(LONG_AGO + 2 * HOUR)
        assert await store.letters_waiting() == {}
        assert sum(letter_id == "job000.9" for _, letter_id in somebody.tries) < 2 * 33 + 20
        running.cancel()

    lived(tmp_path, life)
    assert counts["given-up"] == 1


def test_a_delivery_survives_the_death_of_the_process_that_was_telling_it(tmp_path: Path) -> None:
    async def first(store: Store, clock: VirtualClock) -> None:
        somebody = Somebody(clock.now)
        somebody.took_seconds = 1e9
        posting = HookCourier("hook/us", somebody, store, clock, counted({}), at_once=8)
        running = asyncio.ensure_future(posting.run())
        await store.post(deliveries(1, 2), {})
        await asyncio.sleep(10)
        assert len(somebody.tries) == 2
        await posting.stop(3.0)
        running.cancel()

    async def second(store: Store, clock: VirtualClock) -> None:
        somebody = Somebody(clock.now)
        running = asyncio.ensure_future(HookCourier("hook/us", somebody, store, clock, counted({}), at_once=8).run())
        await asyncio.sleep(10)
        assert {letter_id for _, letter_id, _ in somebody.took} == {"job001.9", "job002.9"}
        running.cancel()

    lived(tmp_path, first)
    lived(tmp_path, second)


# ---------------------------------------------------------------------------------------------------------- notices


def failures(count: int, at: float = NOW) -> list[Letter]:
    told = {"kind": "failed", "folder": "us", "what": "it needs a password", "do": "Remove it"}
    return [
        Letter(
            id=f"{CHANNEL}.failed.{at}.{n}", channel=CHANNEL, at=at, document=json.dumps(told | {"file": f"{n}.pdf"})
        )
        for n in range(count)
    ]


def test_a_broken_morning_is_one_message_and_the_next_comes_no_sooner_than_allowed(tmp_path: Path) -> None:
    async def life(store: Store, clock: VirtualClock) -> None:
        somebody = Somebody(clock.now)
        posting = NoticeCourier(CHANNEL, somebody, store, clock, counted({}), pace=PACE)
        store.on_letters = posting.wake
        running = asyncio.ensure_future(posting.run())
        for _ in range(6):
            await store.post(failures(100, clock.now()), {})
            await asyncio.sleep(5)
        await asyncio.sleep(60)
        ((at, _, message),) = somebody.took
        assert 55 <= at <= 65
        assert message["counts"] == {"failed": 600}
        assert message["subject"] == "hopperd: 600 invoices failed"
        assert "- us/0.pdf: it needs a password. Remove it." in message["text"]
        assert "- and 590 more (hopperd list --failed)" in message["text"]
        await store.post(failures(1, clock.now()), {})
        await asyncio.sleep(500)
        assert len(somebody.took) == 1
        await asyncio.sleep(120)
        assert [round(at) for at, _, _ in somebody.took] == [60, 660]
        running.cancel()

    lived(tmp_path, life)


def test_notices_that_nobody_took_are_in_the_first_message_that_somebody_does(tmp_path: Path) -> None:
    async def first(store: Store, clock: VirtualClock) -> None:
        somebody = Somebody(clock.now)
        somebody.refuses = lambda letter_id: True
        posting = NoticeCourier(CHANNEL, somebody, store, clock, counted({}), pace=PACE)
        running = asyncio.ensure_future(posting.run())
        await store.post(failures(3), {})
        await asyncio.sleep(12 * HOUR)
        assert posting.trouble == "the receiver is closed"
        assert len(somebody.tries) < 30
        running.cancel()

    async def second(store: Store, clock: VirtualClock) -> None:
        somebody = Somebody(clock.now)
        running = asyncio.ensure_future(NoticeCourier(CHANNEL, somebody, store, clock, counted({}), pace=PACE).run())
        await asyncio.sleep(100)
        ((_, _, message),) = somebody.took
        assert message["counts"] == {"failed": 3}
        running.cancel()

    lived(tmp_path, first)
    lived(tmp_path, second)


# ------------------------------------------------------------------------------------------------------ the lookout


class Seen:
    """What the lookout sees; a test changes it."""

    def __init__(self) -> None:
        self.account: Pause | None = None
        self.folder: str | None = None
        self.hook: str | None = None

    def views(self) -> Views:
        return Views(
            accounts={"main": lambda: self.account},
            folders={"us": lambda: self.folder},
            hooks={"us": lambda: self.hook},
        )


WISHES = Wishes(backlog_seconds=4 * HOUR, verification_seconds=24 * HOUR, digest_at=None)
REFUSED = Pause(reason="credentials", what="the service refuses our credentials", do="Set the token", since=NOW)


async def told(store: Store) -> list[dict[str, Any]]:
    found = [json.loads(one.document) for one in await store.letters_due(CHANNEL, NOW + 1e9, 1000)]
    await store.letters_taken([one.id for one in await store.letters_due(CHANNEL, NOW + 1e9, 1000)])
    return found


def test_an_account_paused_and_resumed_and_a_folder_gone_and_back_are_told_once_each(tmp_path: Path) -> None:
    seen = Seen()

    async def first(store: Store, clock: VirtualClock) -> None:
        running = asyncio.ensure_future(Lookout(store, clock, seen.views(), WISHES, MAILING).run())
        await asyncio.sleep(20)
        assert await told(store) == []
        seen.account, seen.folder = REFUSED, "/srv/us/in is gone: its marker is not there"
        await asyncio.sleep(60)
        events = {notice["event"]: notice for notice in await told(store)}
        assert events.keys() == {"account-in-trouble", "folder-in-trouble"}
        assert "refuses our credentials" in events["account-in-trouble"]["what"]
        seen.folder = "/srv/us/in is gone, said otherwise"
        await asyncio.sleep(60)
        assert await told(store) == []
        running.cancel()

    async def second(store: Store, clock: VirtualClock) -> None:
        running = asyncio.ensure_future(Lookout(store, clock, seen.views(), WISHES, MAILING).run())
        await asyncio.sleep(60)
        assert await told(store) == [], "a restart tells nothing twice"
        seen.account, seen.folder, seen.hook = None, None, "nobody answers"
        await asyncio.sleep(60)
        assert {notice["event"] for notice in await told(store)} == {"account-fine", "folder-fine", "hook-in-trouble"}
        seen.account = Pause(reason="person", what="a person paused it", do="", since=NOW, by_person=True)
        await asyncio.sleep(60)
        assert await told(store) == []
        running.cancel()

    lived(tmp_path, first)
    lived(tmp_path, second)


def test_an_old_backlog_is_told_once_and_again_when_it_comes_back(tmp_path: Path) -> None:
    async def life(store: Store, clock: VirtualClock) -> None:
        running = asyncio.ensure_future(Lookout(store, clock, Seen().views(), WISHES, MAILING).run())
        job = await opened(store, new_job(1))
        await asyncio.sleep(4 * HOUR - 100)
        assert await told(store) == []
        await asyncio.sleep(HOUR)
        (notice,) = await told(store)
        assert notice["what"] == "1 invoices are on their way for longer than 4 hours"
        from hopperd.pipeline.events import FiledAway
        from hopperd.pipeline.job import Stage

        await store.record(job, moved(job, Stage.DONE, outcome="delivered"), FiledAway(), clock.now())
        await opened(store, new_job(2, opened_at=clock.now() - 5 * HOUR))
        await asyncio.sleep(HOUR)
        assert await told(store) == [], "still the same old backlog, as nobody saw it gone"
        running.cancel()

    lived(tmp_path, life)


def test_what_waits_for_verification_is_told_again_each_day_in_one_notice(tmp_path: Path) -> None:
    async def life(store: Store, clock: VirtualClock) -> None:
        from hopperd.pipeline.events import FiledAway
        from hopperd.pipeline.job import Stage

        running = asyncio.ensure_future(Lookout(store, clock, Seen().views(), WISHES, MAILING).run())
        for number in range(3):
            job = await opened(store, new_job(number))
            after = moved(job, Stage.SUBMITTED, verification_url="https://x/1", task_id=str(number))
            await store.record(job, after, FiledAway(), NOW)
        await asyncio.sleep(23 * HOUR)
        assert [notice for notice in await told(store) if notice["kind"] == "verification"] == []
        await asyncio.sleep(48 * HOUR)
        reminders = [notice for notice in await told(store) if notice["kind"] == "verification"]
        assert len(reminders) == 2
        assert reminders[0]["what"].startswith("3 invoices wait for verification for longer than 24 hours")
        running.cancel()

    lived(tmp_path, life)


def test_the_daily_figures_come_once_a_day_and_add_up(tmp_path: Path) -> None:
    wishes = Wishes(backlog_seconds=1e9, verification_seconds=1e9, digest_at=(7, 0))

    async def life(store: Store, clock: VirtualClock) -> None:
        from hopperd.pipeline.events import FiledAway
        from hopperd.pipeline.job import Hold, Stage

        running = asyncio.ensure_future(Lookout(store, clock, Seen().views(), wishes, MAILING).run())
        jobs = [await opened(store, new_job(number)) for number in range(9)]
        for place, job in enumerate(jobs[:6]):
            stage = Stage.DONE if place < 4 else Stage.FAILED
            await store.record(job, moved(job, stage, outcome="delivered"), FiledAway(), NOW)
        hold = Hold(reason="doubt", what="", do="", since=NOW)
        await store.record(jobs[6], moved(jobs[6], hold=hold), FiledAway(), NOW)
        await asyncio.sleep(24 * HOUR)
        (digest,) = await told(store)
        assert (digest["in"], digest["delivered"], digest["failed"], digest["held"], digest["open"]) == (9, 4, 2, 1, 2)
        assert "9 in = 4 delivered + 2 failed + 1 held + 2 open" in digest["what"]
        running.cancel()

    async def second(store: Store, clock: VirtualClock) -> None:
        clock = VirtualClock(asyncio.get_running_loop(), NOW + 25 * HOUR)  # type: ignore[arg-type]
        running = asyncio.ensure_future(Lookout(store, clock, Seen().views(), wishes, MAILING).run())
        await asyncio.sleep(120)
        assert await told(store) == [], "a restart tells the same day not again"
        await asyncio.sleep(24 * HOUR)
        (digest,) = await told(store)
        assert digest["in"] == 0
        running.cancel()

    lived(tmp_path, life)
    lived(tmp_path, second)


@pytest.mark.parametrize("kinds", [frozenset({"held"}), frozenset()])
def test_only_the_kinds_that_are_asked_for_are_told(tmp_path: Path, kinds: frozenset[str]) -> None:
    async def life(store: Store, clock: VirtualClock) -> None:
        seen = Seen()
        seen.account = REFUSED
        mailing = Mailing(channels=(CHANNEL,), kinds=kinds)
        running = asyncio.ensure_future(Lookout(store, clock, seen.views(), WISHES, mailing).run())
        await asyncio.sleep(60)
        assert await told(store) == []
        running.cancel()

    lived(tmp_path, life)

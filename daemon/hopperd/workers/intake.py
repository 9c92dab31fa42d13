"""Sweep → settle → claim → open a job, for one hot folder. Events only wake it; the sweep is the truth.

Claims no more than the line can carry: a backlog stays where it is, in `in/`.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

import structlog

from hopperd.errors import FolderIdentityError
from hopperd.pipeline.events import Claimed
from hopperd.pipeline.job import Identity, JobId, Original, claimed_job, new_job_id
from hopperd.pipeline.naming import printable
from hopperd.pipeline.settle import Book, Patience
from hopperd.ports import Candidate, FolderTrouble, LedgerTrouble, LeftAlone, Pause, Swept
from hopperd.workers.adoption import Adoption
from hopperd.workers.parts import FolderParts, Parts

log = structlog.get_logger("hopperd.intake")

CANDIDATES_KEPT: Final = 10_000
LONG_SWEEP_SECONDS: Final = 0.2
"""What a sweep that took longer has seen is looked at once more by itself: the whole sweep is not waited for twice."""

QUICK_SWEEPS: Final = 9
"""In a row, that take what is known to be unwanted for unchanged while its name and inode are: without an event, what
is written into such a file in place is seen by the tenth sweep."""

LOOKS_AT_ONCE: Final = 500
"""Of ten thousand candidates, between two turns of the event loop: a millisecond or two."""

CLAIMS_AT_ONCE: Final = 16
CLAIMS_BETWEEN_QUESTIONS: Final = 8 * CLAIMS_AT_ONCE
SHORTEST_SWEEP_GAP_SECONDS: Final = 0.2
TROUBLE_NAP_SECONDS: Final = 5.0
PROOF_SECONDS: Final = 5.0
FULL_NAP_SECONDS: Final = 0.05
LONGEST_FULL_NAP_SECONDS: Final = 1.0
UNWANTED_KEPT: Final = 10_000


class Intake:
    """One hot folder's way in. `folder` is its name; `opened` is told of every new job."""

    def __init__(self, name: str, parts: Parts, opened: Callable[[], None]) -> None:
        self._name = name
        self._parts = parts
        self._opened = opened
        self._book = self._new_book()
        self._ripe: deque[Candidate] = deque()
        self._unwanted: dict[bytes, Identity] = {}
        self._unwanted_shown: dict[bytes, LeftAlone] = {}
        self._hint = asyncio.Event()
        self._woken = asyncio.Event()
        self._stopping = False
        self._next_sweep = 0.0
        self._not_before = 0.0  # a hint or not: however much happens in in/, sweeps leave time for everything else
        self._again: deque[Candidate] = deque()  # to be looked at once more, from `_again_at` on
        self._again_at = math.inf
        self._quick_sweeps = 0
        self._last_duration = 0.0
        self._full_nap = FULL_NAP_SECONDS
        self._prepared = False
        self._proving: asyncio.Future[None] | None = None
        self._claiming = 0
        self._being_claimed: set[JobId] = set()
        self._adoption = Adoption(name, parts, self._being_claimed, self._open)
        self.is_just_claimed = self._adoption.is_just_claimed
        self.proven = asyncio.Event()
        self.folders: Collection[bytes] = ()  # below in/, where files may come to lie
        self.follow: Callable[[Collection[bytes]], None] = lambda folders: None  # is told of them after each sweep
        # What status shows:
        self.pause: Pause | None = None
        self.trouble: str | None = None
        self.swept_at: float | None = None
        self.waiting = 0
        self.left_alone: tuple[LeftAlone, ...] = ()
        self.left_alone_total = 0

    @property
    def _folder(self) -> FolderParts:
        return self._parts.folders[self._name]

    def _new_book(self) -> Book:
        settings = self._folder.settings
        patience = Patience(
            quiet_seconds=settings.quiet_seconds,
            empty_seconds=settings.empty_seconds,
            group_quiet_seconds=settings.group_quiet_seconds,
            by_folder=settings.group_by == "folder",
        )
        return Book(patience, limit=CANDIDATES_KEPT)

    def reload(self) -> None:
        """New patience and patterns: everything that has not been claimed is looked at afresh."""
        self._book = self._new_book()
        self._ripe.clear()
        self._again.clear()
        self._unwanted.clear()
        self._unwanted_shown.clear()
        self.hint()

    def hint(self) -> None:
        """The file system says that something changed: sweep soon."""
        self._hint.set()
        self._woken.set()

    def wake(self) -> None:
        """There may be room again, or a pause has ended."""
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()

    async def prepare(self) -> None:
        """Prove the folder before anything is done in it. Raises FolderIdentityError; trouble is tried again, that of
        the ledger's disk as well."""
        try:
            await self._prove()
        except FolderTrouble as trouble:
            self._say_trouble(trouble.what)
        except LedgerTrouble as trouble:
            self._say_trouble(f"the ledger cannot be written: {trouble}")

    async def _prove(self) -> None:
        """Prove the folder. A share that hangs is asked once and waited for; its answer wakes us."""
        folder = self._folder
        if self._proving is None:
            self._proving = asyncio.ensure_future(folder.prepare())
        answered, _ = await asyncio.wait({self._proving}, timeout=PROOF_SECONDS)
        if not answered:
            if not folder.is_hanging:
                # An answer that comes in time wakes nobody: a folder that is gone would never let us rest.
                self._proving.add_done_callback(lambda _: self.wake())
            folder.hangs.set()
            raise self._hanging(PROOF_SECONDS)
        folder.hangs.clear()
        proving, self._proving = self._proving, None
        await proving
        self._prepared = True
        self.proven.set()

    def _hanging(self, seconds: float) -> FolderTrouble:
        what = f"the folder does not answer (waited {seconds:.0f} s): does the share hang?"
        return FolderTrouble("gone", what, bytes(self._folder.settings.inbox))

    def say_hanging(self, seconds: float) -> None:
        """Perhaps we wait for it ourselves, and cannot say so."""
        self._say_trouble(self._hanging(seconds).what)

    @property
    def is_idle(self) -> bool:
        """Everything that was in in/ at the last sweep is taken or left alone, and nothing is on its way in."""
        nothing_comes = not self._ripe and self._claiming == 0 and len(self._book) == 0
        return self._adoption.is_settled and self.swept_at is not None and nothing_comes

    async def run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                nap = await self._turn()
                self._say_trouble(None)
            except FolderTrouble as trouble:
                self._say_trouble(trouble.what)
                nap = TROUBLE_NAP_SECONDS
            except LedgerTrouble as trouble:
                self._say_trouble(f"the ledger cannot be written: {trouble}")
                nap = TROUBLE_NAP_SECONDS
            except FolderIdentityError as error:  # mounted while we ran, and not ours: nothing in it is touched
                self._say_trouble(str(error))
                nap = TROUBLE_NAP_SECONDS
            self._parts.pulse.beat("sweep")
            await self._nap(nap)

    async def _nap(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _say_trouble(self, what: str | None) -> None:
        if what == self.trouble:
            return
        if what is None:
            log.info("folder-back", folder=self._name)
        else:
            log.error("folder-trouble", folder=self._name, what=what, intake="paused until it is over")
        self.trouble = what

    async def _turn(self) -> float:
        """Sweep if it is time, claim what has settled as far as there is room; seconds until the next turn."""
        if not self._prepared:
            await self._prove()
        if self._folder.is_hanging:
            raise FolderTrouble("gone", self.trouble or self._hanging(PROOF_SECONDS).what)
        await self._folder.inbox.present()
        if await self._adoption.look_if_due():
            self._opened()
        if self.pause is not None:
            return self._folder.settings.sweep_seconds
        now = self._parts.clock.monotonic()
        if now >= self._next_sweep or (self._hint.is_set() and now >= self._not_before):
            await self._sweep(now)
        elif now >= self._again_at:
            await self._look_again(now)
        is_full = await self._claim_ripe()
        return self._nap_seconds(is_full=is_full)

    def _nap_seconds(self, *, is_full: bool) -> float:
        now = self._parts.clock.monotonic()
        sweep_at = min(self._next_sweep, self._not_before) if self._hint.is_set() else self._next_sweep
        until_sweep = max(0.0, min(sweep_at, self._again_at) - now)
        if is_full:
            self._full_nap = min(LONGEST_FULL_NAP_SECONDS, self._full_nap * 1.5)
            return min(self._full_nap, max(until_sweep, FULL_NAP_SECONDS))
        self._full_nap = FULL_NAP_SECONDS
        return min(until_sweep, self._adoption.seconds_to_wait)

    async def _sweep(self, now: float) -> None:
        is_quick = not self._hint.is_set() and self._quick_sweeps < QUICK_SWEEPS
        self._quick_sweeps = self._quick_sweeps + 1 if is_quick else 0
        self._hint.clear()
        inbox, settings = self._folder.inbox, self._folder.settings
        swept = await inbox.sweep(now, CANDIDATES_KEPT, self._unwanted, quick=is_quick)
        after = self._parts.clock.monotonic()
        self._last_duration = after - now
        self._ripe = deque()
        book = self._book
        for ripe in book.quiet_by_turns(swept.candidates, LOOKS_AT_ONCE):
            self._ripe += ripe
            await asyncio.sleep(0)
        if book is not self._book:  # reloaded meanwhile: everything is looked at afresh
            self._ripe.clear()
            return
        self.swept_at = self._parts.clock.now()
        self.waiting = swept.waiting
        self.folders = swept.folders
        self.follow(swept.folders)
        self._plan_second_look(swept, after)
        if swept.adopt:
            self._adoption.call_for()
        self._show_left_alone(swept.left_alone, swept.left_alone_total)
        # A sweep fills at most a tenth of the time, however long it takes; one that settles something may come sooner.
        regular = after + max(settings.sweep_seconds, 10.0 * self._last_duration, swept.rest_seconds)
        self._next_sweep = regular
        self._not_before = after + 3.0 * self._last_duration
        settles_at = self._book.next_look()
        if settles_at is not None:
            gap = max(SHORTEST_SWEEP_GAP_SECONDS, 3.0 * self._last_duration)
            busy_gap = max(gap, min(1.0, settings.sweep_seconds))
            soonest = after + (gap if settles_at > now else busy_gap)
            self._next_sweep = min(regular, max(settles_at + 0.001, soonest))

    def _plan_second_look(self, swept: Swept, ended_at: float) -> None:
        """Each file was seen before the sweep ended: from then on it must be quiet."""
        self._again.clear()
        self._again_at = math.inf
        settings = self._folder.settings
        if self._last_duration >= LONG_SWEEP_SECONDS and settings.group_by != "folder":
            ripe = {candidate.name for candidate in self._ripe}
            self._again.extend(candidate for candidate in swept.candidates if candidate.name not in ripe)
            self._again_at = ended_at + settings.quiet_seconds if self._again else math.inf

    async def _look_again(self, now: float) -> None:
        book = self._book
        while self._again and book is self._book:
            some = [self._again.popleft() for _ in range(min(len(self._again), LOOKS_AT_ONCE))]
            self._ripe += book.look_again(await self._folder.inbox.look_again(some, now))
        self._again_at = math.inf

    def _show_left_alone(self, listed: tuple[LeftAlone, ...], total: int) -> None:
        known = {left.name for left in self.left_alone}
        for left in listed:
            if left.name not in known:
                log.info("left-alone", folder=self._name, file=printable(left.name), reason=left.reason, what=left.what)
        self.left_alone = (*listed, *self._unwanted_shown.values())
        self.left_alone_total = total + len(self._unwanted)

    # ------------------------------------------------------------------------------------------------- claiming

    def _room(self, open_jobs: int) -> int:
        account = self._parts.accounts[self._folder.settings.account].settings
        return account.tasks_in_flight + 4 * account.uploads_at_once + 64 - open_jobs

    async def _claim_ripe(self) -> bool:
        """Claim what has settled, several at a time. True: there was no room for all of it."""
        claimed = True
        while self._ripe and not self._stopping:
            room = self._room((await self._parts.ledger.open_jobs()).get(self._name, 0))
            if room <= 0:
                if claimed:
                    self._full_nap = FULL_NAP_SECONDS
                return True
            batch = [self._ripe.popleft() for _ in range(min(len(self._ripe), room, CLAIMS_BETWEEN_QUESTIONS))]
            claimed = await self._take_all(batch)
            if self._parts.clock.monotonic() >= self._next_sweep and self._last_duration < 1.0:
                return True  # what came meanwhile must not wait until the whole backlog is taken
        return False

    async def _take_all(self, batch: list[Candidate]) -> bool:
        """So many at once, the next as soon as one is through. True: at least one was claimed."""
        left = iter(batch)

        async def some() -> bool:
            claimed = False
            for candidate in left:
                if self._stopping:
                    break
                if await self._take(candidate):
                    claimed = True
                    self._opened()
            return claimed

        self._claiming = len(batch)
        results = await asyncio.gather(*(some() for _ in range(CLAIMS_AT_ONCE)), return_exceptions=True)
        self._claiming = 0
        for result in results:
            if isinstance(result, BaseException):
                self._adoption.call_for()
                raise result
        return any(results)

    async def _take(self, candidate: Candidate) -> bool:
        """One candidate that has been quiet: ask the disk, claim, open the job."""
        answer, unwanted = await self._folder.inbox.ask(candidate)
        if not self._book.judge(candidate.name, answer):
            return False
        self._book.forget(candidate.name)
        self._parts.pulse.beat("sweep")
        if unwanted is not None:
            self._leave_alone(candidate, unwanted)
            return False
        job_id = new_job_id(self._parts.clock.now(), self._parts.random.randbytes(5))
        self._being_claimed.add(job_id)
        try:
            claimed = await self._folder.inbox.claim(job_id, candidate)
            if claimed is None:  # in in/ still, perhaps: the next sweep sees, and until then we are not through
                self._book.start_over(candidate.name)
                self._adoption.call_for_now_and_later()
            if claimed is None or isinstance(claimed, LeftAlone):
                return False
            self.waiting = max(0, self.waiting - 1)
            await self._open(job_id, claimed, group=candidate.name if candidate.look.is_group else None)
            self._parts.pulse.beat("sweep")
        finally:
            self._being_claimed.discard(job_id)
        return True

    def _leave_alone(self, candidate: Candidate, why: LeftAlone) -> None:
        if len(self._unwanted) >= UNWANTED_KEPT:
            self._unwanted.pop(next(iter(self._unwanted)))
        self._unwanted[candidate.name] = candidate.identity
        if len(self._unwanted_shown) < 200:
            self._unwanted_shown[candidate.name] = why
        log.info("left-alone", folder=self._name, file=printable(why.name), reason=why.reason, what=why.what)

    async def _open(
        self, job_id: JobId, originals: tuple[Original, ...], *, group: bytes | None, adopted: bool = False
    ) -> None:
        settings = self._folder.settings
        job = claimed_job(
            job_id,
            originals,
            folder=self._name,
            account=settings.account,
            priority=settings.priority,
            group=group,
            at=self._parts.clock.now(),
        )
        twins = self._folder.policy.on_duplicate != "again"
        while True:
            try:
                job = await self._parts.ledger.open(job, Claimed(adopted=adopted), twins=twins)
                break
            except LedgerTrouble as trouble:
                # The file is ours already: it stays in hand until the ledger takes it, or is adopted at the next start.
                self._say_trouble(f"the ledger cannot be written: {trouble}")
                await self._parts.clock.sleep(1.0)
        log.info(
            "claimed",
            job=job.id,
            folder=self._name,
            file=printable(group or originals[0].name),
            files=len(originals),
            size_bytes=job.size_bytes,
            **({"adopted": True} if adopted else {}),
        )

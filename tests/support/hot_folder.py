"""A real hot folder in a temporary directory, and a way to fail or die at each step on the disk."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hopperd.folders import places
from hopperd.folders.candidates import Candidate
from hopperd.folders.claim import claim
from hopperd.folders.identity import prepare
from hopperd.folders.layout import ROLES, Layout
from hopperd.folders.selection import Selection
from hopperd.folders.sweep import sweep
from hopperd.pipeline.job import Export, Job, JobId, Original, Stage, Staged, new_job_id
from tests.support import jobs

LEDGER = "ledger-1"
NOTHING_OF_OURS = (b".hopperd-id", b".hopperd")


class Died(BaseException):
    """The process ended here: nothing that follows in the code happens."""


@contextmanager
def quick_place() -> Iterator[Path]:
    """A directory in memory where there is one: thousands of fsyncs on a real disk take minutes and prove no more."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as path:
        yield Path(path)


def layout_in(root: Path, *, prepared: bool = True, done: Path | None = None) -> Layout:
    paths = {role: os.fsencode(root / role) for role in ROLES}
    layout = Layout(
        name="us",
        inbox=paths["in"],
        work=paths["work"],
        out=paths["out"],
        done=os.fsencode(done) if done else paths["done"],
        failed=paths["failed"],
    )
    if prepared:
        prepare(layout, LEDGER, {})
    return layout


def put(layout: Layout, name: bytes, content: bytes = b"%PDF-1.4 an invoice %%EOF") -> bytes:
    path = layout.inbox + b"/" + name
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


def job_id(number: int = 1) -> JobId:
    return new_job_id(jobs.NOW + number, number.to_bytes(5, "big"))


def candidates(layout: Layout, *, by_folder: bool = False) -> dict[bytes, Candidate]:
    found = sweep(layout, Selection(), at=0.0, by_folder=by_folder).candidates
    return {one.name: one for one in found if isinstance(one, Candidate)}


def claimed(layout: Layout, name: bytes, number: int = 1, *, by_folder: bool = False) -> tuple[Original, ...]:
    taken = claim(layout, Selection(), job_id(number), candidates(layout, by_folder=by_folder)[name])
    assert isinstance(taken, tuple) and taken and isinstance(taken[0], Original), taken
    return taken  # type: ignore[return-value]


def job_with(
    originals: tuple[Original, ...], number: int = 1, stage: Stage = Stage.DELIVERED, **changes: object
) -> Job:
    filed = tuple(replace(one, filed_as=one.filed_as or b"2026/11/23/" + one.name) for one in originals)
    job = jobs.job(stage, id=job_id(number), originals=filed)
    return replace(job, **changes)  # type: ignore[arg-type]


def staged_job(layout: Layout, exports: dict[bytes, bytes], number: int = 1) -> tuple[Job, list[Staged]]:
    """A fetched job; `exports` are names below out/ and contents. Writing them into staging is the caller's."""
    listed, staged = [], []
    for place, (name, content) in enumerate(exports.items()):
        sha256 = hashlib.sha256(content).hexdigest()
        staged.append(Staged(result=place, staged_as=f"{place:04d}", size_bytes=len(content), sha256=sha256))
        listed.append(Export(name=name, staged_as=f"{place:04d}", size_bytes=len(content), sha256=sha256))
    return jobs.job(Stage.FETCHED, id=job_id(number), exports=tuple(listed)), staged


def tree(root: bytes, *, ours: bool = False) -> dict[bytes, bytes | None]:
    """Every path below `root` with its content, None for folders; markers and staging only with `ours`."""
    found: dict[bytes, bytes | None] = {}
    for folder, folders, files in os.walk(root):
        if not ours and folder == root:
            folders[:] = [name for name in folders if name not in NOTHING_OF_OURS]
        for name in folders:
            found[os.path.relpath(os.path.join(folder, name), root)] = None
        for name in files:
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root)
            if ours or relative not in NOTHING_OF_OURS:
                with open(path, "rb") as file:
                    found[relative] = file.read()
    return found


def files(root: bytes) -> dict[bytes, bytes]:
    return {name: content for name, content in tree(root).items() if content is not None}


@contextmanager
def tapped(tap: Callable[[str], None]) -> Iterator[None]:
    before, places.TAP = places.TAP, tap
    try:
        yield
    finally:
        places.TAP = before


def steps_of(call: Callable[[], object]) -> list[str]:
    steps: list[str] = []
    with tapped(steps.append):
        call()
    return steps


def fails_at(number: int, error: BaseException, *, for_ever: bool = False) -> Callable[[str], None]:
    """A tap that raises at the `number`-th step (from 0)."""
    seen = iter(range(1_000_000))

    def tap(what: str) -> None:
        here = next(seen)
        if here == number or (for_ever and here >= number):
            raise error

    return tap

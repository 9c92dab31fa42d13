"""Events are a hint: the watch wakes, survives what kills watchfiles, and passes nothing on."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from hopperd.folders import watch as watching
from hopperd.folders.watch import Watch


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SHORTEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(watching, "LONGEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(watching, "ROOT_SECONDS", 0.1)
    monkeypatch.setattr(watching, "DEBOUNCE_MS", 50)
    monkeypatch.setattr(watching, "SECOND_WAKE_SECONDS", 0.05)


Scene = Callable[[Watch, Callable[[], Awaitable[None]]], Awaitable[None]]


def play(path: Path, scene: Scene) -> None:
    async def main() -> None:
        woken = asyncio.Event()
        watch = Watch(os.fsencode(path), woken.set)

        async def awake() -> None:
            async with asyncio.timeout(20):
                await woken.wait()
            woken.clear()

        async with asyncio.TaskGroup() as group:
            running = group.create_task(watch.run())
            await awake()
            await scene(watch, awake)
            running.cancel()

    asyncio.run(main())


async def until(told: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not told():
            await asyncio.sleep(0.01)


def test_it_wakes_at_the_start_and_for_each_change_and_once_more(tmp_path: Path) -> None:
    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        (tmp_path / "x.pdf").write_bytes(b"x")
        await awake()
        await awake()
        (tmp_path / "sub").mkdir()
        await awake()

    play(tmp_path, scene)


def test_subfolders_are_watched_that_it_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / os.fsdecode(b"\xfc")).mkdir()

    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        watch.follow([b"", b"sub", b"sub/deep", b"\xfc", b"gone"])
        await awake()  # it has begun anew
        for name in ("sub/x.pdf", "sub/deep/y.pdf", "z.pdf"):
            (tmp_path / name).write_bytes(b"x")
            await awake()
            await awake()
        assert watch.restarts == 0
        assert watch.without_events is None
        watch.follow([b"sub"])
        await awake()
        (tmp_path / "sub" / "x.pdf").unlink()
        await awake()

    play(tmp_path, scene)


def test_many_subfolders_are_watched_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's lock is held while a watch begins: with a thousand subfolders in one go nothing else would move."""
    monkeypatch.setattr(watching, "PART", 4)
    names = [f"sub-{number}" for number in range(10)]
    for name in names:
        (tmp_path / name).mkdir()

    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        watch.follow([b"", *(os.fsencode(name) for name in names)])
        await awake()
        for name in names:
            (tmp_path / name / "x.pdf").write_bytes(b"x")
            await awake()
            await awake()
        assert watch.restarts == 0

    parts: list[int] = []
    real = watchfiles.watch

    def noted(*paths: str, **settings: Any) -> Any:
        parts.append(len(paths))
        return real(*paths, **settings)

    monkeypatch.setattr(watchfiles, "watch", noted)
    play(tmp_path, scene)
    assert parts == [1, 4, 4, 3]


def test_a_subfolder_that_is_made_anew_is_watched_anew(tmp_path: Path) -> None:
    sub = tmp_path / "sub"
    sub.mkdir()

    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        watch.follow([b"sub"])
        await awake()
        sub.rmdir()
        sub.mkdir()
        await asyncio.sleep(0.6)
        while True:  # all that this has caused
            try:
                async with asyncio.timeout(0.3):
                    await awake()
            except TimeoutError:
                break
        (sub / "x.pdf").write_bytes(b"x")
        await awake()
        assert watch.restarts == 0

    play(tmp_path, scene)


def test_nothing_below_is_gone_through_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    real = watchfiles.watch

    def noted(*paths: str, **settings: Any) -> Any:
        asked.append(settings["recursive"])
        return real(*paths, **settings)

    monkeypatch.setattr(watchfiles, "watch", noted)

    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        return

    play(tmp_path, scene)
    assert asked == [False]


def test_a_name_that_is_not_utf8_does_not_blind_it(tmp_path: Path) -> None:
    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        (tmp_path / os.fsdecode(b"Rechnung-\xfc.pdf")).write_bytes(b"x")
        await until(lambda: watch.restarts > 0)
        await awake()
        await until(lambda: watch.without_events is None)
        (tmp_path / "after.pdf").write_bytes(b"x")
        await awake()

    play(tmp_path, scene)


def test_a_root_that_is_made_anew_is_watched_anew(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()

    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        shutil.rmtree(root)
        await until(lambda: watch.restarts > 0)
        root.mkdir()
        restarts = watch.restarts
        await until(lambda: watch.restarts == restarts or watch.restarts > restarts)
        await awake()
        (root / "x.pdf").write_bytes(b"x")
        await awake()

    play(root, scene)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "max_user_watches"),
        (OSError(24, "Too many open files"), "max_user_instances"),
        (OSError("OS file watch limit reached. (os error 28)"), "max_user_watches"),
        (ValueError("odd"), "ValueError"),
        (BaseException("a panic"), "a panic"),
    ],
)
def test_whatever_happens_to_it_is_said_and_it_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, says: str
) -> None:
    real = watchfiles.watch
    failing = [error, error]

    def failing_watch(*args: object, **settings: object):  # type: ignore[no-untyped-def]
        if failing:
            raise failing.pop()
        yield from real(*args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(watchfiles, "watch", failing_watch)

    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        await until(lambda: watch.without_events is not None or watch.restarts >= 1)
        if watch.without_events is not None:
            assert says in watch.without_events
        await until(lambda: watch.restarts >= 2 and watch.without_events is None)
        (tmp_path / "x.pdf").write_bytes(b"x")
        await awake()

    play(tmp_path, scene)


def test_only_its_own_thread_asks_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A share that hangs would keep threads that everybody needs, to resolve a name or to end."""
    asking: list[str] = []
    for name in ("mount_of", "_root_of", "_there"):
        real = getattr(watching, name)

        def asked(*question: Any, real: Callable[..., Any] = real) -> Any:
            asking.append(threading.current_thread().name)
            return real(*question)

        monkeypatch.setattr(watching, name, asked)

    async def main() -> None:
        woken = asyncio.Event()
        with ThreadPoolExecutor(1, "of-the-watch") as thread:
            running = asyncio.create_task(Watch(os.fsencode(tmp_path), woken.set, thread).run())
            async with asyncio.timeout(20):
                await woken.wait()
            running.cancel()
            await asyncio.wait({running})

    asyncio.run(main())
    assert len(asking) >= 3
    assert all(thread.startswith("of-the-watch") for thread in asking), asking


def test_where_nothing_happens_the_event_loop_sleeps(tmp_path: Path) -> None:
    async def scene(watch: Watch, awake: Callable[[], Awaitable[None]]) -> None:
        turns = 0
        loop: Any = asyncio.get_running_loop()
        real = loop._run_once

        def counted() -> None:
            nonlocal turns
            turns += 1
            real()

        loop._run_once = counted
        await asyncio.sleep(1.0)  # ten times as long as it takes to ask whether its root is the same
        assert turns <= 3

    play(tmp_path, scene)


def test_no_events_are_expected_of_a_share() -> None:
    async def main() -> Watch:
        watch = Watch(b"/proc/self", lambda: None)
        async with asyncio.timeout(10):
            await watch.run()
        return watch

    assert "proc" in (asyncio.run(main()).without_events or "")

"""Promise: many may watch, nobody who is slow holds anybody up, and who missed something is told so."""

from __future__ import annotations

import asyncio

import pytest

from hopperd.pipeline.events import Claimed, TaskSeen
from hopperd.pipeline.job import Task, TaskStatus
from hopperd.web import stream as streams
from hopperd.web.health import NOT_ANSWERED, Health, Probes
from hopperd.web.stream import Stream, TooManyReaders, happening, is_news
from tests.support.stores import NOW, moved, new_job

pytestmark = pytest.mark.asyncio


async def first(stream: Stream, reader: streams.Reader) -> bytes:
    async for piece in reader.pieces(lambda: 0.0):
        return piece
    raise AssertionError


async def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    stream = Stream()
    with stream.reading(events=True, state=False, job=None) as reader:
        for number in range(streams.EVENTS_KEPT + 7):
            stream.tell({"number": number})
        got = await first(stream, reader)
    assert got.startswith(b'event: missed\ndata: {"missed":7}\n\n')
    assert got.count(b"event: event") == streams.EVENTS_KEPT
    assert b'{"number":6}' not in got
    assert len(stream) == 0


async def test_readers_of_the_same_events_are_given_the_same_bytes_and_a_late_one_only_what_comes() -> None:
    stream = Stream()
    with (
        stream.reading(events=True, state=False, job=None) as one,
        stream.reading(events=True, state=False, job=None) as other,
    ):
        stream.tell({"number": 1})
        with stream.reading(events=True, state=False, job=None) as late:
            stream.tell({"number": 2})
            got = await first(stream, one)
            assert got is await first(stream, other), "joined once"
            assert got.count(b"event: event") == 2
            assert (await first(stream, late)).count(b"event: event") == 1


async def test_of_states_only_the_newest_is_sent_and_the_late_comer_has_it_at_once() -> None:
    stream = Stream()
    with stream.reading(events=False, state=True, job=None) as reader:
        for number in range(3):
            stream.show({"number": number})
        assert await first(stream, reader) == b'event: state\ndata: {"number":2}\n\n'
        with stream.reading(events=False, state=True, job=None) as late:
            assert await first(stream, late) == b'event: state\ndata: {"number":2}\n\n'


async def test_a_reader_of_one_job_hears_of_no_other() -> None:
    stream, job, other = Stream(), new_job(1), new_job(2)
    with stream.reading(events=False, state=True, job=job.id) as reader:
        stream.recorded(None, other, Claimed(), NOW)
        stream.recorded(None, job, Claimed(), NOW)
        got = await first(stream, reader)
    assert job.id.encode() in got
    assert other.id.encode() not in got


async def test_there_are_only_so_many_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_READERS", 1)
    stream = Stream()
    with (
        stream.reading(events=True, state=False, job=None),
        pytest.raises(TooManyReaders),
        stream.reading(events=True, state=False, job=None),
    ):
        pass
    with stream.reading(events=True, state=False, job=None):
        pass


async def test_a_look_without_news_is_no_event_and_a_name_stays_one_line() -> None:
    before = new_job(1, b"a\nevent: state\ndata: {}\n\n.pdf")
    assert not is_news(before, moved(before))
    task = Task(id="t", number=None, status=TaskStatus.RUNNING, status_text="", raw={})
    told = streams.message("event", happening(before, TaskSeen(task=task), NOW))
    assert told.count(b"\n") == 3, "a name cannot end an event"


async def test_a_probe_that_hangs_is_an_answer_and_is_not_joined_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hopperd.web.health.PATIENCE_SECONDS", 0.01)
    asked = 0

    async def hang() -> tuple[str, ...]:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        return ()

    async def fine() -> None:
        return None

    probes = Probes(folders={"us": hang}, ledger=fine, accounts={}, silent=list, ages=dict)
    health = Health(probes, lambda: 0.0)
    for _ in range(3):
        assert await health.ready() == {
            "ready": False,
            "not_ready": {"folder us": [NOT_ANSWERED]},
            "proven": ["ledger"],
        }
    assert asked == 1
    health.close()
    await asyncio.sleep(0)

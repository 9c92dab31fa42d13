"""Promise: nothing is lost. The SQLite ledger across reopening, SIGKILL, full disks, damage, and other processes."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hopperd.errors import LedgerDamaged, LedgerError, LedgerInUse, LedgerTooNew
from hopperd.ledger import sqlite
from hopperd.ledger.lock import StateLock
from hopperd.ledger.state import set_aside
from hopperd.ledger.store import Store
from hopperd.pipeline.job import Stage
from hopperd.ports import FolderMark, LedgerTrouble
from tests.support.stores import NOW, job_id, new_job, opened

pytestmark = pytest.mark.asyncio

# Opens jobs until it is killed; each id is printed only after the ledger has answered.
WRITER = """
import asyncio, sys
from hopperd.ledger.store import Store
from tests.support.stores import new_job, opened
async def write(store, number):
    while True:
        job = await opened(store, new_job(number))
        sys.stdout.write(f"acknowledged {job.id}\\n")
        sys.stdout.flush()
        number += 16
async def main():
    store = Store.open_state(sys.argv[1])
    await asyncio.gather(*(write(store, int(sys.argv[2]) + n) for n in range(16)))
asyncio.run(main())
"""

# Fills its disk quota, says so, and goes on once there is room.
FILLER = """
import asyncio, resource, sys
from hopperd.ledger.store import Store
from hopperd.ports import LedgerTrouble
from tests.support.stores import new_job, opened
async def main():
    store = Store.open_state(sys.argv[1])
    number = 0
    while True:
        try:
            await opened(store, new_job(number, notes=("x" * 50_000,)))
        except LedgerTrouble as trouble:
            print("trouble", flush=True)
            break
        print(f"acknowledged {number}", flush=True)
        number += 1
    assert len(await store.open_job_ids()) == number
    sys.stdin.readline()
    if sys.argv[2] == "unlimit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await opened(store, new_job(100_000))
    print("goes on", flush=True)
    await store.close()
asyncio.run(main())
"""


def start(program: str, *arguments: str, **more: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        env=environment,
        **more,
    )


def acknowledged(lines: Iterator[str], count: int) -> Iterator[str]:
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "acknowledged":
            yield rest.strip()
            count -= 1
        if not count:
            return


async def test_what_was_answered_is_there_after_sigkill(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    known: set[str] = set()
    for round_, answers in enumerate((1, 40, 300, 700)):
        child = start(WRITER, state, str(round_ * 100_000))
        assert child.stdout is not None
        known |= set(acknowledged(iter(child.stdout), answers))
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        known |= set(acknowledged(iter(rest.splitlines(keepends=True)[:-1]), -1))
    store = Store.open_state(state)
    missing = known - set(await store.open_job_ids())
    assert not missing, f"promise 1 broken: {len(missing)} acknowledged jobs are gone"
    assert await store.integrity() == []
    await store.close()


async def test_everything_is_there_after_an_orderly_close(tmp_path: Path) -> None:
    store = Store.open_state(tmp_path)
    job = await opened(store, new_job(1))
    await store.set_mark(FolderMark(key="us/in", path=b"/in", starts=3))
    first_id = store.ledger_id
    await store.close()
    assert sorted(os.listdir(tmp_path)) == ["ledger-id", "ledger.sqlite", "lock"]
    store = Store.open_existing(tmp_path)
    assert store.ledger_id == first_id == (tmp_path / "ledger-id").read_text().strip()
    assert await store.get(job.id) == job
    assert (await store.marks())["us/in"].starts == 3
    await store.close()


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    store = Store.open_state(tmp_path / "state")
    await opened(store, new_job(1))
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(tmp_path / "state")}
    assert modes == dict.fromkeys(("ledger-id", "ledger.sqlite", "ledger.sqlite-wal", "lock"), 0o600)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    await store.close()


async def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    store = Store.open_state(tmp_path)
    for opening in (Store.open_state, Store.open_existing):
        with pytest.raises(LedgerInUse, match=f"process {os.getpid()}"):
            opening(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite3.connect(tmp_path / "ledger.sqlite", timeout=0).execute("select * from jobs")
    await store.close()
    await Store.open_state(tmp_path).close()


async def test_reading_commands_make_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        Store.open_existing(tmp_path / "state")
    assert not (tmp_path / "state").exists()


# ------------------------------------------------------------------------------------------------------- damage


async def filled(state: Path, jobs: int = 200) -> None:
    store = Store.open_state(state)
    await asyncio.gather(*(opened(store, new_job(n)) for n in range(jobs)))
    await store.close()


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def scribble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8192 : 8192 + 40_000] = b"\xa5" * 40_000
    path.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        lambda ledger: ledger.unlink(),
        lambda ledger: ledger.write_bytes(b""),
        zero,
        scribble,
        lambda ledger: ledger.write_bytes(b"not a ledger at all" * 1_000),
        lambda ledger: ledger.write_bytes(ledger.read_bytes()[:20_000]),
        lambda ledger: (ledger.parent / "ledger-id").write_text("nonsense"),
        lambda ledger: (ledger.parent / "ledger-id").write_text("0" * 32),
    ],
    ids=["gone", "empty", "zeroes", "scribbled", "not-a-ledger", "truncated", "id-garbled", "id-of-another"],
)
async def test_a_damaged_ledger_is_refused_with_what_to_do(tmp_path: Path, harm: object) -> None:
    await filled(tmp_path)
    harm(tmp_path / "ledger.sqlite")  # type: ignore[operator]
    for _ in range(2):
        with pytest.raises(LedgerDamaged, match="hopperd fsck --rebuild"):
            Store.open_state(tmp_path)


async def test_an_empty_sqlite_file_is_no_new_ledger(tmp_path: Path) -> None:
    await filled(tmp_path)
    (tmp_path / "ledger.sqlite").unlink()
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute("create table something (x)")
    other.close()
    with pytest.raises(LedgerDamaged, match="hopperd fsck --rebuild"):
        Store.open_state(tmp_path)


@pytest.mark.parametrize("harm", ["unlink", "truncate", "zero"])
async def test_a_log_taken_away_after_a_crash_is_noticed(tmp_path: Path, harm: str) -> None:
    await filled(tmp_path, 3)
    child = start(WRITER, str(tmp_path), "1000")
    assert child.stdout is not None
    list(acknowledged(iter(child.stdout), 50))
    child.kill()
    child.communicate()
    log = tmp_path / "ledger.sqlite-wal"
    if harm == "unlink":
        log.unlink()
    elif harm == "truncate":
        os.truncate(log, 0)
    else:
        zero(log)
    with pytest.raises(LedgerDamaged, match="write-ahead log"):
        Store.open_state(tmp_path)
    (tmp_path / "lock").unlink()  # what the sentence says a person may do
    store = Store.open_state(tmp_path)
    assert len(await store.open_job_ids()) >= 3
    await store.close()


@pytest.mark.parametrize("left", [[], ["lock"], ["lock", "ledger.sqlite"], ["ledger.sqlite"]])
async def test_a_first_start_cut_short_is_done_again(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        (tmp_path / name).touch()
    await Store.open_state(tmp_path).close()


async def test_a_first_start_cut_short_before_its_id_was_written_keeps_its_id(tmp_path: Path) -> None:
    store = Store.open_state(tmp_path)
    ledger_id = store.ledger_id
    await store.close()
    (tmp_path / "ledger-id").unlink()
    store = Store.open_state(tmp_path)
    assert store.ledger_id == ledger_id == (tmp_path / "ledger-id").read_text().strip()
    await store.close()


async def test_a_newer_ledger_is_refused_unless_it_suits_us(tmp_path: Path) -> None:
    await filled(tmp_path, 1)
    for oldest_reader in ("1", "7"):
        with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
            other.execute("update meta set value = '9' where name = 'schema_version'")
            other.execute("update meta set value = ? where name = 'oldest_reader'", (oldest_reader,))
        other.close()
        if oldest_reader == "1":
            await Store.open_existing(tmp_path).close()
    with pytest.raises(LedgerTooNew, match="install that version again"):
        Store.open_state(tmp_path)


async def test_a_damaged_ledger_set_aside_makes_room_for_a_new_one(tmp_path: Path) -> None:
    await filled(tmp_path, 5)
    zero(tmp_path / "ledger.sqlite")
    lock = StateLock(str(tmp_path))
    moved = set_aside(str(tmp_path), "20260901T000000Z")
    lock.release()
    assert len(moved) == 2
    store = Store.open_state(tmp_path)
    assert await store.open_job_ids() == []
    await store.close()


# ------------------------------------------------------------------------------------------------- disk trouble


async def test_a_full_disk_is_weather_and_loses_nothing(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs takes root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no right to mount a tmpfs here")
    try:
        ballast = small / "ballast"
        ballast.write_bytes(bytes(1_000_000))
        child = start(FILLER, str(small / "state"), "")
        assert child.stdout is not None
        before = [line for line in iter(child.stdout.readline, "trouble\n") if line.startswith("acknowledged")]
        ballast.unlink()
        rest, _ = child.communicate("\n")
        assert "goes on" in rest
        store = Store.open_existing(small / "state")
        assert len(await store.open_job_ids()) == len(before) + 1
        assert await store.integrity() == []
        await store.close()
    finally:
        subprocess.run(["umount", small], check=True)


async def test_an_io_error_is_weather_and_the_ledger_is_opened_anew(tmp_path: Path) -> None:
    """A limit on the size of files: SQLite sees a failing write that is not "disk full", an I/O error."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))

    child = start(FILLER, str(tmp_path), "unlimit", preexec_fn=limit)
    assert child.stdout is not None
    before = [line for line in iter(child.stdout.readline, "trouble\n") if line.startswith("acknowledged")]
    rest, _ = child.communicate("\n")
    assert child.returncode == 0, rest
    assert "goes on" in rest
    store = Store.open_existing(tmp_path)
    assert len(before) + 1 <= len(await store.open_job_ids()) <= len(before) + 2
    assert await store.integrity() == []
    await store.close()


async def test_a_ledger_taken_away_while_in_use_is_never_replaced_by_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open_state(tmp_path)
    await opened(store, new_job(1))
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "sickness", lambda error: "io")
        patch.setattr(type(store._pump._transactor), "_transact", _io_error)  # type: ignore[attr-defined]
        with pytest.raises(LedgerTrouble):
            await opened(store, new_job(2))
    (tmp_path / "ledger.sqlite").unlink()
    for _ in range(2):
        with pytest.raises((LedgerDamaged, LedgerTrouble)):
            await opened(store, new_job(3))
    assert not (tmp_path / "ledger.sqlite").exists()
    await store.close()


def _io_error(*_: object) -> None:
    raise sqlite3.OperationalError("disk I/O error")


# ------------------------------------------------------------------------------------------------------- backup


async def test_a_backup_made_while_it_runs_is_whole(tmp_path: Path) -> None:
    store = Store.open_state(tmp_path / "state")
    await asyncio.gather(*(opened(store, new_job(n, notes=("x" * 3_000,))) for n in range(1_000)))
    target = tmp_path / "copy.sqlite"
    copying = asyncio.ensure_future(store.backup(os.fsencode(target)))
    number = 1_000
    while not copying.done():
        await opened(store, new_job(number))
        number += 1
    await copying
    assert number > 1_001, "others were served meanwhile"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["copy.sqlite", "state"]
    with pytest.raises(FileExistsError):
        await store.backup(os.fsencode(target))
    with pytest.raises(FileNotFoundError):
        await store.backup(os.fsencode(tmp_path / "nowhere" / "copy"))
    await store.close()
    (tmp_path / "restored").mkdir()
    target.rename(tmp_path / "restored" / "ledger.sqlite")
    restored = Store.open_existing(tmp_path / "restored")
    assert restored.ledger_id == store.ledger_id
    assert len(await restored.open_job_ids()) >= 1_000
    assert await restored.integrity() == []
    await restored.close()


async def test_contradictions_between_rows_are_found(tmp_path: Path) -> None:
    await filled(tmp_path, 4)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as other:
        other.execute("update jobs set is_open = 0 where id = ?", (job_id(0),))
        other.execute("delete from history where job = ?", (job_id(1),))
        other.execute("update jobs set stage = ? where id = ?", (Stage.UPLOADED.value, job_id(2)))
        other.execute("update jobs set document = '{' where id = ?", (job_id(3),))
    other.close()
    store = Store.open_existing(tmp_path)
    problems = await store.integrity()
    for number in range(4):
        assert any(job_id(number) in problem for problem in problems), problems
    await store.close()


async def test_times_are_the_callers(tmp_path: Path) -> None:
    store = Store.open_state(tmp_path)
    assert await store.next_due(NOW) is None
    await store.close()

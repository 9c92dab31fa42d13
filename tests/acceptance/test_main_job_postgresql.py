"""The main job once more, with the ledger in PostgreSQL: one daemon, its restarts and its deaths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance import test_main_job as main_job
from tests.support import line, postgres
from tests.support.line import Line, invoice

pytestmark = pytest.mark.timeout(300)

JOBS: list[Callable[[Path], None]] = [
    main_job.test_an_invoice_put_in_comes_out_as_its_export_beside_its_receipt,
    main_job.test_run_once_ends_fine_when_everything_is_delivered,
    main_job.test_the_same_bytes_are_paid_for_once,
    main_job.test_an_orderly_stop_makes_no_doubt_and_leaves_nothing_behind,
    main_job.test_twenty_sigkills_lose_nothing_and_deliver_nothing_twice,
    main_job.test_hold_never_pays_twice_whatever_is_killed,
]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.__name__.removeprefix("test_"))
def test_on_postgresql(job: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = postgres.server()
    monkeypatch.setattr(line, "LEDGER", server.database)
    job(tmp_path)


def test_a_busy_ledger_moves_into_postgresql_and_back_and_every_promise_is_kept(tmp_path: Path) -> None:
    url = postgres.server().database()
    options = {"processing_seconds": "3", "folder": 'export_format = "Csv"'}
    with Line(tmp_path, **options) as one:  # type: ignore[arg-type]
        one.start_sandbox()
        for number in range(12):
            one.put_in(f"{number}.pdf", invoice(number))
        one.started()
        one.wait_for(lambda: len(one.deeds("run")) >= 6, "six Runs")
        refused = one.command("migrate-ledger", "--to", url)
        assert refused.returncode == 3
        assert "in use" in refused.stderr
        assert one.stop() == 0
        moved = one.command("migrate-ledger", "--to", url)
        assert moved.returncode == 0, moved.stderr
        assert "12 jobs" in moved.stdout
        one._top = f'ledger = "{url}"'
        one.configure()
        one.started()
        one.wait_for(lambda: one.deeds("download"), "the first results")
        assert one.stop() == 0
        back = one.command("migrate-ledger", "--to", "sqlite", "--json")
        assert back.returncode == 0, back.stderr
        one._top = ""
        one.configure()
        one.started()
        one.wait_ended(12)
        assert one.stop() == 0
        verdict = one.keeps_every_promise()
    assert (verdict.delivered, verdict.extra_runs, verdict.doubts) == (12, 0, 0)

"""Promise 7: jobs whose folder or account the configuration does not have are counted, and said."""

from __future__ import annotations

from hopperd.pipeline.job import Stage
from hopperd.ports import BacklogCell
from hopperd.web.homeless import homeless


def cell(folder: str, account: str, jobs: int) -> BacklogCell:
    return BacklogCell(
        folder=folder,
        account=account,
        stage=Stage.SUBMITTED,
        age_bucket=0,
        jobs=jobs,
        held=0,
        waiting_for_person=0,
        oldest_opened_at=0.0,
    )


def test_a_missing_folder_and_a_missing_account_are_told_apart_and_the_others_are_at_home() -> None:
    cells = [cell("us", "main", 5), cell("old", "main", 1), cell("old", "main", 2), cell("us", "gone", 1)]
    first, second = homeless(cells, {"us"}, {"main"})
    assert (first["folder"], first["jobs"]) == ("old", 3)
    assert first["what"] == "3 open jobs stand still: folder old is not in the configuration"
    assert (second["account"], second["jobs"]) == ("gone", 1)
    assert second["what"] == "1 open job stands still: account gone of folder us is not in the configuration"

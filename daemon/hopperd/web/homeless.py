"""Open jobs of a folder or an account that is not in the configuration: nothing moves them, so they must be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable
from typing import Any

from hopperd.pipeline.naming import printable
from hopperd.ports import BacklogCell


def homeless(cells: Iterable[BacklogCell], folders: Container[str], accounts: Container[str]) -> list[dict[str, Any]]:
    """One line for each folder and account that open jobs name and the configuration does not."""
    counted: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        if cell.folder not in folders or cell.account not in accounts:
            counted[(cell.folder, cell.account)] += cell.jobs
    return [
        _line(folder, account, jobs, is_folder=folder not in folders)
        for (folder, account), jobs in sorted(counted.items())
    ]


def _line(folder: str, account: str, jobs: int, *, is_folder: bool) -> dict[str, Any]:
    count = "1 open job stands" if jobs == 1 else f"{jobs} open jobs stand"
    missing = f"folder {printable(folder)}" if is_folder else f"account {printable(account)} of folder {folder}"
    back = "folder, under that name and with its paths," if is_folder else "account, under that name,"
    return {
        "folder": folder,
        "account": account,
        "jobs": jobs,
        "what": f"{count} still: {missing} is not in the configuration",
        "do": f"Put the {back} back into the configuration and restart; rename or remove it when they are done.",
    }

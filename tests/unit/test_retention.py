"""`done_days`: whole days go, oldest first, and nothing else is touched."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from hopperd.folders.layout import Layout
from hopperd.folders.retention import clear_done


def layout_of(root: Path) -> Layout:
    places = {name: os.fsencode(root / name) for name in ("in", "work", "out", "done", "failed")}
    for place in places.values():
        os.makedirs(place, exist_ok=True)
    return Layout(
        name="us",
        inbox=places["in"],
        work=places["work"],
        out=places["out"],
        done=places["done"],
        failed=places["failed"],
    )


def put(root: Path, name: str) -> Path:
    path = root / "done" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_days_before_the_limit_go_and_later_ones_stay(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    old = [put(tmp_path, "2026/01/31/sub/a.pdf"), put(tmp_path, "2026/01/31/sub/a.pdf.receipt.json")]
    kept = [put(tmp_path, "2026/02/01/b.pdf"), put(tmp_path, "notes/2026/01/01/c.pdf"), put(tmp_path, ".hopperd-id")]
    assert clear_done(layout, datetime.date(2026, 2, 1)) == 2
    assert not any(path.exists() for path in old)
    assert not (tmp_path / "done" / "2026" / "01").exists(), "emptied folders go along"
    assert all(path.exists() for path in kept)


def test_it_goes_in_small_steps(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    for number in range(10):
        put(tmp_path, f"2026/01/{number + 1:02d}/{number}.pdf")
    assert clear_done(layout, datetime.date(2026, 2, 1), limit=4) == 4
    assert (tmp_path / "done/2026/01/10/9.pdf").exists(), "the oldest go first"
    assert clear_done(layout, datetime.date(2026, 2, 1), limit=100) == 6


def test_links_are_not_followed(tmp_path: Path) -> None:
    layout = layout_of(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.pdf").write_bytes(b"x")
    (tmp_path / "done" / "2026" / "01").mkdir(parents=True)
    os.symlink(elsewhere, tmp_path / "done" / "2026" / "01" / "01")
    clear_done(layout, datetime.date(2026, 2, 1))
    assert (elsewhere / "precious.pdf").exists()

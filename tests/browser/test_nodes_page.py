"""One view of a fleet: the page, the metrics and one job's story of any node tell of all of them."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from tests.browser.test_page import Screen, playwright, pytestmark  # noqa: F401
from tests.support.chromium import ARGUMENTS, CHROMIUM
from tests.support.fleet import Fleet, Node
from tests.support.line import invoice
from tests.support.web_line import served


def carried(node: Node, count: int) -> dict[str, str] | None:
    """Who carries what, once there are so many tasks."""
    jobs = [job["job"] for job in node.json("list", "--stage", "submitted")["jobs"]]
    return {job: node.json("show", job)["node"] for job in jobs} if len(jobs) == count else None


def figure(address: str, name: str) -> float:
    with urllib.request.urlopen(f"{address}metrics") as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


def test_any_node_shows_all_of_them_and_who_carries_what(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["north", "south"], folder='export_format = "Csv"', processing_seconds="600") as fleet:
        north, south = fleet["north"], fleet["south"]
        south.started()
        fleet.first.put_in("first.pdf", invoice("first"))
        south.wait_for(lambda: len(fleet.first.deeds("run")) == 1, "a Run of the southern node")
        address = served(north, 'listen = "127.0.0.1:0"')
        carriers: dict[str, str] = {}
        for number in range(1, 40):
            fleet.first.put_in(f"{number}.pdf", invoice(f"seen-{number}"))
            carriers = north.wait_for(lambda count=number + 1: carried(north, count), "one more task")
            if len(set(carriers.values())) == 2:
                break
        assert set(carriers.values()) == {"north", "south"}
        theirs = next(job for job, node in carriers.items() if node == "south")
        assert "Node south carries it." in north.command("show", theirs).stdout
        with playwright.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            screen = Screen(browser, address)
            nodes = screen.page.get_by_role("table", name="Nodes")
            for name in ("north", "south"):
                row = nodes.get_by_role("row").filter(has=screen.page.get_by_role("rowheader", name=name))
                playwright.expect(row).to_contain_text("working")
            screen.page.goto(f"{address}#/job/{theirs}")
            playwright.expect(screen.page.locator("#facts dl")).to_contain_text("south")
            screen.page.goto(f"{address}#/")
            carries = row.locator('[data-label="Carries"]')
            playwright.expect(carries).to_have_text(str(list(carriers.values()).count("south")))
            south.kill()
            playwright.expect(screen.page.get_by_text("Node gone")).to_be_visible(timeout=40_000)
            playwright.expect(nodes).to_contain_text("gone")
            screen.shot("nodes")
            assert screen.complaints == []
            browser.close()
        assert figure(address, 'hopperd_node_silence_seconds{node="south"}') > 10.0
        assert figure(address, 'hopperd_node_silence_seconds{node="north"}') < 10.0
        mine = 'hopperd_node_jobs{node="north"}'
        north.wait_for(lambda: figure(address, mine) == len(carriers), "the others' jobs at this node", 60)

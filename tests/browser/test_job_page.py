"""Promise: a job's page says what became of the invoice, in a clerk's words, and offers nothing that is not there."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

from tests.browser.test_page import Screen, playwright, pytestmark  # noqa: F401
from tests.support.line import invoice
from tests.support.web_line import READ, WebLine


def opened(line: WebLine, browser: Any, file: str, **options: Any) -> Screen:
    (job,) = [job for job in line.asked("/v1/jobs")["jobs"] if job["file"] == file]
    return Screen(browser, f"{line.address}#/job/{job['job']}", **options)


def tidied(line: WebLine, job: str) -> list[dict[str, Any]] | None:
    """Its history, once it tells that nothing of it is left at the service."""
    rows: list[dict[str, Any]] = line.asked(f"/v1/job?name={job}")["history"]
    return rows if rows[-1]["event"] == "remote-tidied" else None


def step(screen: Screen, name: str) -> Any:
    return screen.page.locator("#story li").filter(has_text=name)


def test_a_duplicate_leads_to_the_first_job_and_its_export(tmp_path: Path, browser: Any) -> None:
    with WebLine(tmp_path) as line:
        line.serve(read=True)
        line.put_in("first.pdf", invoice("twice"))
        line.wait_ended(1)
        line.put_in("same.pdf", invoice("twice"))
        line.wait_ended(2)
        first = line.receipts()[next(name for name in line.receipts() if name.endswith("first.pdf"))]["job"]
        screen = opened(line, browser, "same.pdf")
        screen.button("Enter the token").click()
        screen.gives_token(READ)
        screen.sees("Duplicate of job")
        screen.sees(f"{tmp_path}/out/first.xlsx")
        playwright.expect(step(screen, "Found to be a duplicate")).to_be_visible()
        playwright.expect(step(screen, "Export delivered")).to_have_count(0)
        screen.shot("duplicate")
        with screen.page.expect_download() as download:
            screen.button("Download").click()
        assert Path(download.value.path()).read_bytes() == (tmp_path / "out" / "first.xlsx").read_bytes()
        screen.page.get_by_role("link", name=f"job {first}").click()
        playwright.expect(screen.page.get_by_role("heading", level=1)).to_have_text("first.pdf")
        told = line.command("show", "same.pdf").stdout
        assert f"Duplicate of job {first}" in told
        assert f"Export of that job: {tmp_path}/out/first.xlsx" in told
        assert all("401" in each for each in screen.complaints), "but for the question for the token"
        screen.context.close()


def test_an_original_that_was_changed_or_taken_out_of_work_is_told_and_not_offered(
    tmp_path: Path, browser: Any
) -> None:
    with WebLine(tmp_path, processing_seconds="5-5") as line:
        line.serve()
        for name in ("removed.pdf", "changed.pdf"):
            line.put_in(name, invoice(name))
        line.wait_in_stage("submitted", 2)
        next(tmp_path.glob("work/*/removed.pdf")).unlink()
        with next(tmp_path.glob("work/*/changed.pdf")).open("ab") as file:
            file.write(b"junk")
        line.wait_ended(2)
        removed, changed = opened(line, browser, "removed.pdf"), opened(line, browser, "changed.pdf")
        removed.sees("The original was taken away from work/ before it could be filed.")
        playwright.expect(step(removed, "Receipt filed, without its original")).to_be_visible()
        playwright.expect(removed.page.locator("#facts")).not_to_contain_text("removed.pdf")
        playwright.expect(step(removed, "Original filed away")).to_have_count(0)
        removed.shot("removed")
        changed.sees("what is filed is not what was sent.")
        playwright.expect(step(changed, "Original filed away")).to_contain_text("changed.pdf")
        changed.shot("changed")
        told = line.command("show", "removed.pdf").stdout
        assert "Note on removed.pdf: the original was taken away" in told
        assert "\nOriginal: " not in told
        assert "Note on changed.pdf: the original in work/ was changed" in line.command("show", "changed.pdf").stdout
        for screen in (removed, changed):
            assert screen.complaints == []
            screen.context.close()


def test_while_it_waits_for_a_person_the_page_says_so_and_only_then_that_one_has_looked(
    tmp_path: Path, browser: Any
) -> None:
    with WebLine(tmp_path, folder='verification_type = "UserVerification"') as line:
        line.serve()
        line.put_in("asked.pdf", invoice("asked"))
        job = line.wait_for(lambda: line.asked("/v1/status")["waiting_for_person"], "the wait for a person")[0]
        screen = opened(line, browser, "asked.pdf", timezone_id="America/New_York")
        waits = step(screen, "Waits for a person")
        playwright.expect(waits).to_have_class("now")
        playwright.expect(waits.get_by_role("link", name="Open verification")).to_have_attribute(
            "href", job["verification"]
        )
        playwright.expect(step(screen, "Looked at by a person")).to_have_count(0)
        playwright.expect(step(screen, "Result ready")).to_contain_text("not yet")
        screen.shot("waits")
        verify = urllib.request.Request(f"{line.url}/sandbox/verify/{job['task']['id']}", method="POST")
        urllib.request.urlopen(verify).close()
        line.command("retry", job["job"])  # looks at once
        line.wait_ended(1)
        playwright.expect(step(screen, "Looked at by a person")).to_have_class("past")
        playwright.expect(waits).to_have_count(0)
        rows = line.wait_for(lambda: tidied(line, job["job"]), "the clean-up at the service")
        filed = next(row["at"] for row in rows if row["stage"] == "done")
        screen.page.reload()
        playwright.expect(step(screen, "Cleaned up at the service")).to_be_visible()
        playwright.expect(step(screen, "Original filed away").locator("time")).to_have_attribute("datetime", filed)
        playwright.expect(screen.page.locator("footer")).to_contain_text("America/New_York")
        screen.shot("looked-at")
        assert screen.complaints == []
        screen.context.close()


def test_what_a_person_gave_up_needs_nobody_and_is_nobodys_fault(tmp_path: Path, browser: Any) -> None:
    plan = '[[fault]]\non = "task"\noutcome = "failed"\nfirst = 1'
    with WebLine(tmp_path, faults=plan) as line:
        line.serve()
        line.put_in("failed.pdf", invoice("failed"))
        line.wait_ended(1)
        line.command("pause", "main")
        line.put_in("unwanted.pdf", invoice("unwanted"))
        line.wait_in_stage("claimed", 1)
        line.command("forget", "unwanted.pdf")
        line.command("resume", "main")
        line.wait_ended(2)
        screen = opened(line, browser, "unwanted.pdf")
        screen.sees("given up by a person")
        playwright.expect(screen.page.locator("#job")).not_to_contain_text("Fault")
        screen.shot("given-up")
        screen.page.get_by_role("link", name="hopperd", exact=True).click()
        needs = screen.page.locator("#needs")
        (failed,) = line.asked("/v1/status")["failed"]
        playwright.expect(needs).to_contain_text(f"hopperd forget {failed['job']}")
        playwright.expect(needs).not_to_contain_text("unwanted.pdf")
        screen.shot("needs")
        told = line.command("status").stdout
        assert "failed.pdf" in told
        assert "unwanted.pdf" not in told
        screen.page.goto(f"{line.address}#/list/failed")
        playwright.expect(screen.page.get_by_role("row").filter(has_text="unwanted.pdf")).to_contain_text(
            "given up by a person"
        )
        assert screen.complaints == []
        screen.context.close()

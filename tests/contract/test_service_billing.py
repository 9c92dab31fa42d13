"""What is billed, and the ceiling: documents and pages counted, `is_billed`, `Canceled`, and the twin's own ledger."""

from __future__ import annotations

import io
from typing import Any

from pypdf import PdfWriter

from tests.support.sandbox_process import APPLICATION, OTHER_APPLICATION, SandboxProcess, tiny_pdf


def longer_pdf(pages: int) -> bytes:
    writer = PdfWriter()
    for number in range(pages):
        writer.append(io.BytesIO(tiny_pdf(f"N-{number}")))
    out = io.BytesIO()
    writer.write(out)
    writer.close()
    return out.getvalue()


def bill(sandbox: SandboxProcess, application: str = APPLICATION[0]) -> dict[str, Any]:
    answer = sandbox.service().request("GET", "/sandbox/ledger", headers={"Authorization": "none"})
    (found,) = (each for each in answer.json["applications"] if each["application"] == application)
    return found


def test_documents_and_pages_are_counted_per_application() -> None:
    with SandboxProcess() as sandbox:
        service = sandbox.service()
        task = service.run(service.uploaded(), service.uploaded("longer.pdf", longer_pdf(3)), export_format="Json").json
        assert not task["is_billed"] and "billed" not in task
        done = service.look_until(task["id"], "Done")
        assert (done["is_billed"], done["documents_count"], done["pages_count"]) == (True, 2, 4)
        expected = {"runs": 1, "documents": 2, "pages": 4, "canceled_runs": 0}
        assert bill(sandbox) == {"application": APPLICATION[0]} | expected
        assert bill(sandbox, OTHER_APPLICATION[0])["documents"] == 0


def test_a_failed_task_is_billed_without_pages() -> None:
    with SandboxProcess() as sandbox:
        service = sandbox.service()
        task = service.run(service.uploaded("bad.pdf", tiny_pdf()[:300]), export_format="Json").json
        assert service.look_until(task["id"], "Failed")["is_billed"]
        assert (bill(sandbox)["documents"], bill(sandbox)["pages"]) == (1, 0)


def test_the_ceiling_cancels_a_whole_run_and_what_still_fits_goes_on() -> None:
    with SandboxProcess("--quota", "3", "--reader", "none") as sandbox:
        service = sandbox.service()
        info = service.uploaded()
        for files, status, billed in ((2, "Done", 2), (2, "Canceled", 2), (1, "Done", 3), (1, "Canceled", 3)):
            run = service.run(*[info] * files, export_format="Json")
            assert (run.status, run.json["status"]) == (200, "Submitted"), "it is told later, by the status"
            task = service.look_until(run.json["id"], status)
            assert task["is_billed"] is (status == "Done")
            assert [len(each["files"]) for each in task["documents"]] == [1 + (status == "Done")] * files
            assert bill(sandbox)["documents"] == billed
        assert (bill(sandbox)["quota"], bill(sandbox)["runs"], bill(sandbox)["canceled_runs"]) == (3, 2, 2)
        other = sandbox.service(OTHER_APPLICATION)
        other.look_until(other.run(other.uploaded(), export_format="Json").json["id"], "Done")

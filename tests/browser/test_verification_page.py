"""The verification page in a real browser: what a person sees and does there, and what the export says afterwards."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest

from tests.support.chromium import CHROMIUM
from tests.support.sandbox_process import SandboxProcess, Service, tiny_ubl

playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs the Python package playwright")

WAIT_MS: Final = 20_000
playwright.expect.set_options(timeout=WAIT_MS)
SILENCE_SECONDS: Final = "4"

pytestmark = pytest.mark.skipif(not os.path.exists(CHROMIUM), reason=f"the browser test needs {CHROMIUM}")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess("--window-seconds", SILENCE_SECONDS) as process:
        yield process


class Screen:
    """One tab of a browser, with everything that it complains about or asks for."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def field(self, label: str, group: str = "Invoice") -> Any:
        return self.page.get_by_role("group", name=group, exact=True).get_by_label(label, exact=True).first


@pytest.fixture
def screens(browser: Any) -> Iterator[Any]:
    opened: list[Screen] = []

    def opens(address: str, **options: Any) -> Screen:
        opened.append(Screen(browser, **options))
        opened[-1].page.goto(address)
        return opened[-1]

    yield opens
    for each in opened:
        each.context.close()


@pytest.fixture
def somebody_elses_site() -> Iterator[Any]:
    """Serves one page from an address of its own."""
    servers: list[ThreadingHTTPServer] = []

    def serve(page: str) -> str:
        class Site(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())

            def log_message(self, *_: object) -> None:
                """Nothing."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Site))
        threading.Thread(target=servers[-1].serve_forever).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield serve
    for each in servers:
        each.shutdown()
        each.server_close()


def waiting(sandbox: SandboxProcess, *names: str, data: bytes | None = None) -> tuple[Service, Any, str]:
    """A task of these documents that waits for a person, and its page's address."""
    service = sandbox.service()
    infos = [service.uploaded(name, data) for name in names]
    run = service.run(*infos, export_format="Json", verification_type="UserVerification").json
    task = service.look_until(run["id"], "WaitForAction")
    return service, task, f"{sandbox.url}/verification/{task['verification_id']}"


def exported(service: Service, task_id: str, at: int = 0) -> Any:
    done = service.look_until(task_id, "Done")
    return service.file("GET", done["documents"][at]["files"]["target"]).json["Documents"][0]


def test_a_person_corrects_what_was_read_and_the_export_says_so(sandbox: SandboxProcess, screens: Any) -> None:
    service, task, address = waiting(sandbox, "a <b>bold<b> name.pdf")
    screen = screens(address)
    playwright.expect(screen.field("Invoice number")).to_have_value("INV-1001")
    playwright.expect(screen.page.get_by_role("heading", name="a <b>bold<b> name.pdf")).to_be_visible()
    picture = screen.page.get_by_role("img", name="Page 1 of a <b>bold<b> name.pdf")
    picture.evaluate("image => image.decode()")
    assert picture.evaluate("image => image.naturalWidth") == 1240
    screen.field("Invoice number").fill("<script>R-7</script>")
    screen.field("Net total").fill("100.00")
    screen.field("Tax total").fill("20.00")
    playwright.expect(screen.page.get_by_text("do not make the total")).to_be_visible()
    screen.field("Tax total").fill("19.00")
    playwright.expect(screen.page.get_by_text("do not make the total")).to_have_count(0)
    screen.field("Name", "Vendor").fill("Beta Ltd")
    screen.button("Add line").click()
    screen.page.get_by_label("Line 1, Description").fill("Paper")
    screen.page.get_by_label("Line 1, Total price").fill("100.00")
    screen.button("Confirm document").click()
    screen.button("Finish task").click()
    playwright.expect(screen.page.get_by_text("Done. The task goes on")).to_be_visible()
    document = exported(service, task["id"])
    fields = document["Fields"]
    assert (fields["InvoiceNumber"], fields["TaxTotal"]) == ("<script>R-7</script>", "19.00")
    assert (fields["Total"], fields["InvoiceDate"]) == ("119.00", "2026-03-14"), "what was not touched stays"
    assert fields["Vendor"]["Name"] == "Beta Ltd"
    assert fields["LineItems"] == [{"Description": "Paper", "TotalPrice": "100.00"}]
    assert document["Confidence"] == 1.0
    assert screen.complaints == []
    assert {each.split("/")[2] for each in screen.asked} == {address.split("/")[2]}, "nothing comes from outside"


def test_documents_are_confirmed_or_removed_one_by_one(sandbox: SandboxProcess, screens: Any) -> None:
    service, task, address = waiting(sandbox, "first.pdf", "second.pdf")
    screen = screens(address)
    screen.button("Remove document").click()
    playwright.expect(screen.page.get_by_role("heading", name="second.pdf")).to_be_focused()
    playwright.expect(screen.button("Finish task")).to_be_disabled()
    screen.field("Total").fill("7")
    screen.button("Confirm document").click()
    screen.button("Change decision").click()
    playwright.expect(screen.button("Finish task")).to_be_disabled()
    screen.field("Total").fill("8.5")
    screen.button("Confirm document").click()
    screen.button("Finish task").click()
    playwright.expect(screen.page.get_by_text("Done. The task goes on")).to_be_visible()
    done = service.look_until(task["id"], "Done")
    assert [each["is_moved"] for each in done["documents"]] == [True, False]
    assert list(done["documents"][0]["files"]) == ["source"]
    assert exported(service, task["id"], 1)["Fields"]["Total"] == "8.5"


def test_the_keyboard_alone_is_enough_and_mistakes_are_told_where_they_are(
    sandbox: SandboxProcess, screens: Any
) -> None:
    service, task, address = waiting(sandbox, "a.pdf")
    screen = screens(address)
    screen.field("Total").focus()
    screen.page.keyboard.press("Control+A")
    screen.page.keyboard.type("1.234,50")
    screen.page.keyboard.press("Control+Enter")
    playwright.expect(screen.page.get_by_role("alert")).to_contain_text("a number like 1234.50")
    playwright.expect(screen.field("Total")).to_be_focused()
    playwright.expect(screen.field("Total")).to_have_attribute("aria-invalid", "true")
    screen.page.keyboard.press("Control+A")
    screen.page.keyboard.type("1234.50")
    screen.field("Invoice date").focus()
    screen.page.keyboard.press("Control+A")
    screen.page.keyboard.type("2026-02-30")
    screen.page.keyboard.press("Control+Enter")
    playwright.expect(screen.button("Finish task")).to_be_focused()
    screen.page.keyboard.press("Enter")
    playwright.expect(screen.page.get_by_role("alert")).to_contain_text("a date like")
    playwright.expect(screen.field("Invoice date")).to_be_focused()
    screen.page.keyboard.press("Control+A")
    screen.page.keyboard.type("2026-02-28")
    screen.page.keyboard.press("Control+Enter")
    screen.page.keyboard.press("Enter")
    playwright.expect(screen.page.get_by_text("Done. The task goes on")).to_be_visible()
    assert exported(service, task["id"])["Fields"]["Total"] == "1234.50"


def test_every_field_and_button_has_a_name_for_a_screen_reader(sandbox: SandboxProcess, screens: Any) -> None:
    _, _, address = waiting(sandbox, "a.pdf")
    screen = screens(address)
    screen.button("Add line").click()
    screen.button("Add tax").click()
    unnamed = screen.page.locator("input, button, [tabindex='0'], img").evaluate_all(
        "all => all.filter(each => !(each.labels?.[0]?.textContent || each.getAttribute('aria-label')"
        " || each.alt || each.textContent.trim())).map(each => each.outerHTML)"
    )
    assert unnamed == []
    assert screen.page.locator("html").get_attribute("lang") == "en"


def test_a_second_window_is_told_so_and_opens_once_the_first_is_closed(sandbox: SandboxProcess, screens: Any) -> None:
    _, _, address = waiting(sandbox, "a.pdf")
    first = screens(address)
    playwright.expect(first.button("Confirm document")).to_be_visible()
    second = screens(address)
    playwright.expect(second.page.get_by_text("open in another window")).to_be_visible()
    playwright.expect(second.button("Confirm document")).to_be_hidden()
    first.page.goto("about:blank")
    playwright.expect(second.button("Confirm document")).to_be_visible()


def test_a_window_that_falls_silent_loses_the_task_and_is_told_so(sandbox: SandboxProcess, screens: Any) -> None:
    _, _, address = waiting(sandbox, "a.pdf")
    first = screens(address)
    playwright.expect(first.button("Confirm document")).to_be_visible()
    first.context.set_offline(True)
    playwright.expect(first.page.get_by_text("cannot be reached")).to_be_visible()
    second = screens(address)
    playwright.expect(second.button("Confirm document")).to_be_visible()
    first.context.set_offline(False)
    playwright.expect(first.page.get_by_text("open in another window")).to_be_visible()


def test_a_parent_frame_hears_that_the_task_is_closed(
    sandbox: SandboxProcess, screens: Any, somebody_elses_site: Any
) -> None:
    _, _, address = waiting(sandbox, "a.pdf")
    parent = (
        "<!doctype html><p id=heard></p>"
        "<script>addEventListener('message', each => { heard.textContent = each.data })</script>"
        f"<iframe src='{address}' width=1200 height=800></iframe>"
    )
    screen = screens(f"{somebody_elses_site(parent)}/")
    frame = screen.page.frame_locator("iframe")
    frame.get_by_role("button", name="Confirm document").click()
    frame.get_by_role("button", name="Finish task").click()
    playwright.expect(screen.page.locator("#heard")).to_have_text("FC_Verification_TaskClosed")


def test_a_task_that_does_not_wait_has_no_page(sandbox: SandboxProcess, screens: Any) -> None:
    service, task, address = waiting(sandbox, "a.pdf")
    screen = screens(address)
    playwright.expect(screen.button("Confirm document")).to_be_visible()
    assert service.request("POST", f"/sandbox/verify/{task['id']}").status == 200
    playwright.expect(screen.page.get_by_text("does not wait for anybody any more")).to_be_visible()
    assert screen.page.goto(address).status == 410
    assert screen.page.goto(f"{sandbox.url}/verification/{'0' * 32}").status == 404
    playwright.expect(screen.page.get_by_role("heading", name="Nothing to verify")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark(sandbox: SandboxProcess, screens: Any, scheme: str) -> None:
    _, _, address = waiting(sandbox, "a.pdf")
    screen = screens(address, color_scheme=scheme)
    playwright.expect(screen.button("Confirm document")).to_be_visible()
    for where in ("h1", "label", "#confirm", "input"):
        ink, paper = screen.page.locator(where).first.evaluate(
            "each => [getComputedStyle(each).color, (function ground(at) {"
            " const found = getComputedStyle(at).backgroundColor;"
            " return found === 'rgba(0, 0, 0, 0)' ? ground(at.parentElement) : found })(each)]"
        )
        assert contrast(ink, paper) >= 4.5, f"{where}: {ink} on {paper}"


def contrast(one: str, other: str) -> float:
    """The contrast of two `rgb(r, g, b)`, as WCAG counts it."""
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


def brightness(color: str) -> float:
    parts = [int(each) / 255 for each in color.removeprefix("rgb(").rstrip(")").split(",")]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_a_document_without_pages_to_see_says_so(sandbox: SandboxProcess, screens: Any) -> None:
    _, _, address = waiting(sandbox, "a.xml", data=tiny_ubl("E-1"))
    screen = screens(address)
    playwright.expect(screen.page.get_by_text("There is no picture of this page.")).to_be_visible()
    assert screen.field("Invoice number").input_value() == "E-1"

"""The page in a real browser: every action on it, hostile names on it, strangers' pages beside it.

Screenshots are kept where SCREENSHOTS_FOLDER names a folder. The accessibility check wants axe-core:
`npm install --no-save axe-core` at the root of the checkout, or AXE_CORE naming its axe.min.js.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.chromium import CHROMIUM
from tests.support.line import invoice
from tests.support.web_line import ACT, READ, WebLine

playwright = pytest.importorskip("playwright.sync_api", reason="the browser test needs the Python package playwright")

WAIT_MS: Final = 20_000
playwright.expect.set_options(timeout=WAIT_MS)
HOSTILE: Final = "<img src=x onerror=document.title='owned'>\"'&amp;\u202egnp.pdf"
AXE: Final = Path(os.environ.get("AXE_CORE", Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"))

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(not os.path.exists(CHROMIUM), reason=f"the browser test needs {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebLine]:
    """Acting needs a token, reading none. One job failed, one hostile file failed, three were delivered."""
    plan = '[[fault]]\non = "task"\noutcome = "failed"\nfirst = 1'
    with WebLine(tmp_path_factory.mktemp("page"), faults=plan) as made:
        made.serve(act=True)
        made.put_in("first.pdf", invoice(0))
        made.wait_ended(1)
        made.put_in(HOSTILE, b"%PDF-1.4 and no more")
        for number in range(3):
            made.put_in(f"sub/fine-{number}.pdf", invoice(number + 1))
        made.wait_ended(5)
        yield made


class Screen:
    """One tab, with everything that it complains about or asks for."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)

    def button(self, name: str, exact: bool = True) -> Any:
        return self.page.get_by_role("button", name=name, exact=exact)

    def sees(self, text: str) -> None:
        playwright.expect(self.page.get_by_text(text).first).to_be_visible()

    def gives_token(self, token: str) -> None:
        self.page.get_by_label("Token", exact=True).fill(token)
        self.button("Use it").click()

    def shot(self, name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS_FOLDER"):
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.fixture
def screens(browser: Any, line: WebLine) -> Iterator[Callable[..., Screen]]:
    opened: list[Screen] = []

    def opens(path: str = "", **options: Any) -> Screen:
        opened.append(Screen(browser, line.address + path, **options))
        return opened[-1]

    yield opens
    for each in opened:
        each.context.close()


def test_the_first_look_tells_what_needs_a_person_and_why(line: WebLine, screens: Any) -> None:
    screen = screens()
    playwright.expect(screen.page.get_by_role("heading", name="Needs a person")).to_be_visible()
    screen.sees("Live")
    screen.sees("first.pdf")
    screen.sees("Fault of the service (task-failed)")
    screen.sees("Fault of the file (truncated)")
    for name in ("Throughput over the last hour: 3 done, 2 failed.", "Time to export over the last hour"):
        playwright.expect(screen.page.get_by_role("img", name=name)).to_be_visible()
    screen.button("Last day").click()
    playwright.expect(screen.page.get_by_role("img", name="Throughput over the last day: 3 done")).to_be_visible()
    screen.shot("overview")
    assert screen.complaints == []
    assert {each.split("/")[2] for each in screen.asked} == {line.address.split("/")[2]}, "nothing comes from outside"


def test_a_hostile_name_is_only_text_wherever_it_stands(line: WebLine, screens: Any) -> None:
    screen = screens()
    shown = HOSTILE.replace("\u202e", "\\u202e")
    screen.page.get_by_role("link", name=shown).click()
    playwright.expect(screen.page.get_by_role("heading", level=1)).to_have_text(shown)
    screen.page.get_by_text("Whole history").click()
    screen.page.get_by_text("Receipt", exact=True).click()
    screen.page.get_by_role("searchbox").fill("<img src=x onerror")
    screen.sees("1 found")
    assert screen.page.locator("main img").count() == 0
    assert screen.page.title() != "owned"
    assert screen.complaints == []


def test_an_invoice_is_found_by_part_of_its_name_and_tells_its_story(line: WebLine, screens: Any) -> None:
    screen = screens()
    screen.page.keyboard.press("/")
    screen.page.keyboard.type("FINE-1")
    screen.page.get_by_role("link", name="sub/fine-1.pdf").click()
    story = screen.page.locator("#story li")
    playwright.expect(story).to_have_count(9)
    playwright.expect(story.first).to_contain_text("Taken in")
    playwright.expect(story.nth(6)).to_contain_text("sub/fine-1.xlsx")
    screen.sees(f"{line.root}/out/sub/fine-1.xlsx")
    screen.page.get_by_text("Receipt", exact=True).click()
    screen.sees('"outcome": "delivered"')
    task = line.ask("/v1/jobs?text=fine-1").json["jobs"][0]["task"]["number"]
    screen.page.get_by_role("searchbox").fill(task)
    playwright.expect(screen.page.get_by_role("link", name="sub/fine-1.pdf")).to_be_visible()
    screen.page.go_back()
    screen.shot("job")
    screen.page.get_by_role("searchbox").fill("no such thing")
    screen.sees("No such job.")
    assert screen.complaints == []


def test_acting_asks_for_the_token_once_and_refuses_a_wrong_one(line: WebLine, screens: Any) -> None:
    screen = screens()
    screen.button("Retry first.pdf").click()
    screen.gives_token("a wrong one")
    screen.sees("This token is not known.")
    assert len(line.json("list", "--failed")["jobs"]) == 2
    screen.button("Retry first.pdf").click()
    screen.gives_token(ACT)
    screen.sees("starts again from its original")
    playwright.expect(screen.button("Retry first.pdf")).to_have_count(0)
    line.wait_for(lambda: len(line.json("list", "--failed")["jobs"]) == 1, "the second capture")
    playwright.expect(screen.button("Enter token")).to_have_count(0)
    assert ACT not in screen.page.content()


def test_every_order_on_the_page_does_what_it_says(line: WebLine, screens: Any) -> None:
    screen = screens()
    screen.button("Enter token").click()
    screen.gives_token(ACT)
    screen.sees("You may read and act")
    screen.button("Pause account main").click()
    screen.button("Pause").last.click()
    screen.sees("Account paused")
    line.put_in("orders.pdf", invoice("orders"))
    line.wait_for(lambda: line.json("list", "orders")["jobs"], "the claim")
    screen.page.get_by_role("searchbox").fill("orders")
    screen.page.get_by_role("link", name="orders.pdf").click()
    screen.button("Hold orders.pdf").click()
    screen.page.get_by_label("Why (may be empty)").fill("<b>ask</b> the buyer")
    screen.page.keyboard.press("Enter")
    screen.sees("<b>ask</b> the buyer")
    screen.page.get_by_role("link", name="hopperd", exact=True).click()
    screen.button("Resume account main").first.click()
    playwright.expect(screen.page.get_by_text("Account paused")).to_have_count(0)
    screen.button("Release orders.pdf").click()
    playwright.expect(screen.button("Release orders.pdf")).to_have_count(0)
    line.wait_for(lambda: line.json("list", "orders")["jobs"][0]["stage"] == "done", "its end")
    screen.button("Pause folder us").click()
    screen.button("Pause").last.click()
    screen.sees("Folder paused")
    screen.button("Resume folder us").first.click()
    playwright.expect(screen.page.get_by_text("Folder paused")).to_have_count(0)
    failed = line.json("list", "--failed")["jobs"]
    screen.button(f"Forget {failed[0]['file']}").click()
    screen.button("Cancel").click()
    assert len(line.json("list", "--failed")["jobs"]) == len(failed), "cancelled is cancelled"
    assert screen.complaints == []


def test_the_page_is_live_without_reloading(line: WebLine, screens: Any) -> None:
    screen = screens()
    screen.sees("Live")
    before = len(screen.asked)
    line.put_in("live.txt.pdf", b"%PDF-1.4 cut")
    playwright.expect(screen.page.get_by_role("link", name="live.txt.pdf")).to_be_visible()
    assert len(screen.asked) == before, "nothing was asked for again: one stream tells"


def test_a_strangers_page_cannot_post_or_read(line: WebLine, browser: Any) -> None:
    jobs = line.json("list")["jobs"]
    script = f"""<form method=post enctype=text/plain action={line.address}v1/orders>
      <input name='{{"order":"hold","x":"' value='"}}'></form><p id=told></p><script>
      const ask = (path, options) => fetch("{line.address}" + path, options).then((a) => a.text(), () => "blocked");
      const post = (headers) => ask("v1/orders", {{method: "POST", body: "{{}}", headers}});
      Promise.all([ask("v1/jobs"), post({{"Content-Type": "text/plain"}}),
        post({{"Content-Type": "application/json", Authorization: "Bearer {ACT}"}})])
        .then((all) => {{ document.getElementById("told").textContent = all.join(); document.forms[0].submit(); }});
      </script>"""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(script.encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever).start()
    try:
        context = browser.new_context()
        page = context.new_page()
        posted: list[tuple[str, int]] = []
        page.on("response", lambda answer: posted.append((answer.url, answer.status)))
        page.goto(f"http://localhost:{server.server_port}")
        page.wait_for_url(f"{line.address}v1/orders")
        assert (f"{line.address}v1/orders", 403) in posted
        assert not [one for one in posted if one[0].startswith(line.address) and one[1] < 400]
        context.close()
    finally:
        server.shutdown()
        server.server_close()
    assert [job.get("hold") for job in line.json("list")["jobs"]] == [job.get("hold") for job in jobs]


def test_behind_a_read_token_nothing_is_shown_until_it_is_given(tmp_path: Path, browser: Any) -> None:
    with WebLine(tmp_path) as closed:
        closed.serve(read=True)
        closed.put_in("secret.pdf", invoice("secret"))
        closed.wait_ended(1)
        screen = Screen(browser, closed.address)
        screen.sees("A token is needed")
        assert "secret" not in screen.page.content()
        screen.button("Enter the token").click()
        screen.gives_token(READ)
        screen.sees("Live")
        screen.page.get_by_role("searchbox").fill("secret")
        screen.page.get_by_role("link", name="secret.pdf").click()
        with screen.page.expect_download() as download:
            screen.button("Download").click()
        assert Path(download.value.path()).read_bytes() == (tmp_path / "out" / "secret.xlsx").read_bytes()
        assert screen.button("Hold", exact=False).count() == 0
        screen.context.close()


class _Proxy(BaseHTTPRequestHandler):
    """Passes everything below /a/path/ on, as a reverse proxy that rewrites Host does."""

    upstream: WebLine
    connections: list[http.client.HTTPConnection]

    def do_GET(self) -> None:
        self.pass_on(None)

    def do_POST(self) -> None:
        self.pass_on(self.rfile.read(int(self.headers["Content-Length"])))

    def pass_on(self, body: bytes | None) -> None:
        if not self.path.startswith("/a/path/"):
            self.send_error(404)
            return
        port = int(self.upstream.address.rpartition(":")[2].strip("/"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connections.append(connection)
        headers = {name: value for name, value in self.headers.items() if name not in ("Host", "Connection")}
        headers["X-Forwarded-Host"] = self.headers["Host"]
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request(self.command, self.path.removeprefix("/a/path"), body=body, headers=headers)
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "server", "date"):
                    self.send_header(name, value)
            self.end_headers()
            while piece := answer.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()
        connection.close()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_behind_a_proxy_under_a_path_everything_works(line: WebLine, browser: Any) -> None:
    handler: Any = type("Proxy", (_Proxy,), {"upstream": line, "connections": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever).start()
    try:
        screen = Screen(browser, f"http://localhost:{server.server_port}/a/path/")
        screen.sees("Live")
        screen.page.get_by_role("searchbox").fill("fine-0")
        screen.page.get_by_role("link", name="sub/fine-0.pdf").click()
        screen.sees("Its story")
        screen.page.get_by_role("link", name="hopperd", exact=True).click()
        screen.button("Enter token").click()
        screen.gives_token(ACT)
        screen.button("Pause folder us").click()
        screen.button("Pause").last.click()
        screen.sees("Folder paused")
        screen.button("Resume folder us").first.click()
        playwright.expect(screen.page.get_by_text("Folder paused")).to_have_count(0)
        assert {each.split("/")[3] for each in screen.asked} == {"a"}, "no address leaves the path"
        assert screen.complaints == []
        screen.context.close()
    finally:
        server.shutdown()
        for connection in handler.connections:  # streams that are still open
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
        server.server_close()


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_the_page_has_no_serious_barrier(line: WebLine, screens: Any, look: str) -> None:
    if not AXE.is_file():
        pytest.skip("the accessibility check needs axe-core: npm install --no-save axe-core")
    options: dict[str, Any] = {"light": {}, "dark": {"color_scheme": "dark"}}.get(look) or {}
    if look == "phone":
        options = {"viewport": {"width": 360, "height": 740}}
    screen = screens(**options)
    screen.sees("Live")
    playwright.expect(screen.page.get_by_role("heading", name="Flow")).to_be_visible()
    found = _barriers(screen, "the overview")
    wide = screen.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page is wider than its window"
    screen.shot(f"overview-{look}")
    screen.page.get_by_role("searchbox").fill("fine")
    screen.page.get_by_role("link", name="sub/fine-2.pdf").wait_for()
    found += _barriers(screen, "a list")
    screen.page.get_by_role("link", name="sub/fine-2.pdf").click()
    screen.page.get_by_text("Whole history").click()
    found += _barriers(screen, "a job")
    screen.shot(f"job-{look}")
    assert not found, "\n".join(found)


def _barriers(screen: Screen, where: str) -> list[str]:
    screen.page.evaluate(AXE.read_text())
    told = screen.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{where}: {one['id']} ({one['impact']}): {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in told["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]

"""The service's twin as a real process, and a plain HTTP hand to talk to it with; neither knows our own client.

`SandboxProcess` starts it, waits for its one line, reads its log of deeds and ends it. `Service` sends requests as any
client of the service might, and never follows, retries or interprets anything.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import selectors
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import urlsplit

from tests.support.forked import Forked

START_SECONDS = 30.0
STOP_SECONDS = 15.0
LOOK_SECONDS = 0.02
FINAL = ("Done", "Failed", "Canceled")
APPLICATION = ("5dae591e91375010bcd78362", "a:token/with+odd=signs")
OTHER_APPLICATION = ("other", "another")


class SandboxProcess:
    """`hopperd sandbox` on a free port. Options are those of the command, as it takes them."""

    def __init__(
        self,
        *options: str,
        log: str | None = None,
        applications: tuple[tuple[str, str], ...] = (APPLICATION, OTHER_APPLICATION),
        processing_seconds: str = "0-0",
        port: int = 0,
    ) -> None:
        self._log = log
        command = ["sandbox", "--port", str(port)]
        command += ["--processing-seconds", processing_seconds]
        for application_id, token in applications:
            command += ["--application", f"{application_id}:{token}"]
        if log is not None:
            command += ["--log", log]
        self._stderr = tempfile.NamedTemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would fill up
        self.process = Forked([*command, *options], environment=os.environ, stdout=None, stderr=Path(self._stderr.name))
        try:
            self.line = self._first_line()
        except BaseException:
            self.kill()
            raise
        self.url = self.line.rpartition(" ")[2]

    def __enter__(self) -> SandboxProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def service(self, application: tuple[str, str] = APPLICATION) -> Service:
        """A hand for one application's requests."""
        return Service(self.url, *application)

    def deeds(self, event: str | None = None) -> list[dict[str, Any]]:
        """The lines of its log, all or those of one event."""
        if self._log is None:
            raise ValueError("started without a log")
        with open(self._log, "rb") as file:
            lines = [json.loads(line) for line in file]
        return [line for line in lines if event in (None, line["event"])]

    def stop(self) -> int:
        """SIGTERM; its exit code. What it still wrote to stdout must be nothing."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
            rest = b"" if self._stdout.closed else self._stdout.read()
            assert rest == b"", "the sandbox wrote more than one line to stdout"
        finally:
            self.kill()
        return code

    def kill(self) -> None:
        """SIGKILL, and everything closed."""
        self.process.kill()
        self.process.wait()
        self._stdout.close()
        self._stderr.close()

    def stderr(self) -> str:
        """What it has logged so far, while it runs."""
        return Path(self._stderr.name).read_text(errors="replace")

    @property
    def _stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def _first_line(self) -> str:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            if not selector.select(START_SECONDS):
                raise TimeoutError("the sandbox did not say that it listens")
        line = bytearray()
        while not line.endswith(b"\n"):
            byte = os.read(self._stdout.fileno(), 1)
            if not byte:
                raise RuntimeError(f"the sandbox ended with {self.process.wait()} before it listened: {self.stderr()}")
            line += byte
        return line.decode().rstrip("\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Service:
    """Plain requests to one address with one application's credentials."""

    url: str
    application_id: str
    token: str
    timeout: float = 20.0

    def request(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request on a connection of its own; `headers` may override the credentials."""
        parts = urlsplit(self.url)
        line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self.timeout)
        try:
            line.request(method, path, body, {"Authorization": self.authorization(), **(headers or {})})
            answer = line.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(status=answer.status, headers=found, body=answer.read())
        finally:
            line.close()

    def authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{self.application_id}:{self.token}".encode()).decode()

    def upload(self, *parts: tuple[str, bytes], part_name: str = "file") -> Answer:
        """Several files in one upload."""
        body, content_type = multipart(*parts, part_name=part_name)
        return self.request("POST", "/v2/file", body, {"Content-Type": content_type})

    def uploaded(self, name: str = "invoice.pdf", data: bytes | None = None) -> dict[str, Any]:
        """One file uploaded; its FileInfo."""
        info = self.upload((name, tiny_pdf() if data is None else data)).json
        found: dict[str, Any] = info[0] if isinstance(info, list) else info
        return found

    def run(self, *files: Mapping[str, Any], path: str = "invoices", **properties: str) -> Answer:
        """A Run of these files."""
        references = [{"id": each["id"], "token": each["token"]} for each in files]
        body = json.dumps({"files": references, "properties": properties})
        return self.request("POST", f"/v2/task/capture/{path}", body, {"Content-Type": "application/json"})

    def look(self, task_id: str) -> Any:
        return self.request("GET", f"/v2/task/{task_id}").json

    def look_until(self, task_id: str, *statuses: str, seconds: float = 30.0) -> Any:
        """Looks again and again until the task has one of these statuses."""
        end = time.monotonic() + seconds
        while True:
            task = self.look(task_id)
            if task["status"] in statuses:
                return task
            assert task["status"] not in FINAL, f"the task ended {task['status']}, not {' or '.join(statuses)}"
            assert time.monotonic() < end, f"the task is still {task['status']}, not {' or '.join(statuses)}"
            time.sleep(LOOK_SECONDS)

    def file(self, method: str, file: Mapping[str, Any], rest: str = "") -> Answer:
        """A request about one file, by its FileInfo or a task's reference to it."""
        return self.request(method, f"/v2/file/{file['id']}/{file['token']}{rest}")


def multipart(*parts: tuple[str, bytes], part_name: str = "file") -> tuple[bytes, str]:
    """The body and the Content-Type of an upload."""
    boundary = "----boundary7MA4YWxkTrZu0gW"
    pieces = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{part_name}"; filename="{name}"\r\n'.encode()
        + b"Content-Type: application/octet-stream\r\n\r\n"
        + data
        + b"\r\n"
        for name, data in parts
    ]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def tiny_pdf(number: str = "INV-1001") -> bytes:
    """A one-page invoice with a text layer, complete with its cross-reference table, in about a kilobyte."""
    lines = ("Acme Supplies Inc.", f"Invoice Number: {number}", "Invoice Date: 2026-03-14", "Total: $ 119.00")
    text = "\n".join(f"1 0 0 1 72 {720 - 20 * at} Tm ({line}) Tj" for at, line in enumerate(lines))
    stream = f"BT /F1 12 Tf\n{text}\nET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    data = b"%PDF-1.4\n"
    offsets = []
    for at, each in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (at, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        data
        + b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(data))
    )


def tiny_ubl(
    number: str = "N-1",
    *,
    vendor: str = "Zeebrand NV",
    vat_id: str = "BE0999999922",
    iban: str = "BE68539007547034",
    total: str = "121.00",
) -> bytes:
    """An e-invoice (UBL) over 100.00 net and 21.00 tax; with another `total` its sums do not agree."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2" xmlns:cac="urn:cac" xmlns:cbc="urn:cbc">
<cbc:ID>{number}</cbc:ID><cbc:IssueDate>2026-03-01</cbc:IssueDate>
<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>
<cac:AccountingSupplierParty><cac:Party><cac:PartyTaxScheme><cbc:CompanyID>{vat_id}</cbc:CompanyID>
<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme>
<cac:PartyLegalEntity><cbc:RegistrationName>{vendor}</cbc:RegistrationName></cac:PartyLegalEntity></cac:Party>
</cac:AccountingSupplierParty>
<cac:AccountingCustomerParty><cac:Party><cac:PartyLegalEntity>
<cbc:RegistrationName>Northwind Works</cbc:RegistrationName>
</cac:PartyLegalEntity></cac:Party></cac:AccountingCustomerParty>
<cac:PaymentMeans><cac:PayeeFinancialAccount><cbc:ID>{iban}</cbc:ID></cac:PayeeFinancialAccount></cac:PaymentMeans>
<cac:TaxTotal><cbc:TaxAmount currencyID="EUR">21.00</cbc:TaxAmount></cac:TaxTotal>
<cac:LegalMonetaryTotal><cbc:TaxExclusiveAmount>100.00</cbc:TaxExclusiveAmount>
<cbc:TaxInclusiveAmount>{total}</cbc:TaxInclusiveAmount></cac:LegalMonetaryTotal></Invoice>""".encode()

"""A line whose daemon serves its page, and plain HTTP requests to it as anybody could send them."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.line import Line

READ, ACT = "read-token-of-the-tests", "act-token-of-the-tests!"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def served(line: Line, *keys: str) -> str:
    """Its daemon with a page, `keys` in place of the one that has none; the page's address, once it is up."""
    line.config.write_text(line.config.read_text().replace('listen = ""', "\n".join(keys)))
    line.started()
    return page_address(line)


def page_address(line: Line) -> str:
    address: str = line.wait_for(lambda: (line.state / "web-address").read_text().strip(), "the page")
    return address


class WebLine(Line):
    def serve(self, *, read: bool = False, act: bool = False, listen: str = "127.0.0.1:0") -> str:
        """Sandbox and daemon, with these tokens; the page's address, once it is up."""
        self.start_sandbox()
        keys = [f'listen = "{listen}"']
        for wanted, which, token in ((read, "read", READ), (act, "act", ACT)):
            if wanted:
                file = self.root / f"{which}-token"
                file.write_text(f"{token}\n")
                file.chmod(0o600)
                keys.append(f'{which}_token_file = "{file}"')
        self.address = served(self, *keys)
        return self.address

    def page_address(self) -> str:
        """After another start: it may have another port."""
        self.address = page_address(self)
        return self.address

    def ask(
        self, path: str, *, method: str = "GET", token: str | None = None, body: Any = None, **headers: str
    ) -> Answer:
        """Header names are given with underscores."""
        place = urlsplit(self.address)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=content, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


def hold(job: str) -> dict[str, Any]:
    return {"order": "hold", "jobs": [job], "why": "said the test"}

"""A bucket's inbox is listed whole, page by page, in the folder's order; an odd key is told and hides no other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from hopperd.buckets.credentials import shared_credentials
from hopperd.buckets.disk import Bucket
from hopperd.buckets.listing import GROUP_FILES
from hopperd.buckets.store import open_store
from hopperd.folders.selection import Selection
from hopperd.ports import Swept
from tests.support.bucket import BUCKET, KEYS, MISSING, bucket_of

pytestmark = pytest.mark.skipif("obstore" in MISSING, reason="needs obstore")
PAGE = 1_000


class _Lists(BaseHTTPRequestHandler):
    """Answers listings of the server's keys, as S3 does, and nothing else."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = {name: texts[0] for name, texts in parse_qs(urlsplit(self.path).query).items()}
        behind = asked.get("continuation-token") or asked.get("start-after", "")
        keys = [key for key in self.server.keys if key.startswith(asked["prefix"]) and key > behind]  # type: ignore[attr-defined]
        self.server.pages += 1  # type: ignore[attr-defined]
        is_url = asked.get("encoding-type") == "url"
        listed = "".join(
            f"<Contents><Key>{quote(key) if is_url else key}</Key><LastModified>2026-11-27T23:34:58.000Z</LastModified>"
            f'<ETag>"{number:032x}"</ETag><Size>{0 if key.endswith("/") else number + 1}</Size></Contents>'
            for number, key in enumerate(keys[:PAGE])
        )
        more = len(keys) > PAGE
        token = f"<NextContinuationToken>{keys[PAGE - 1]}</NextContinuationToken>" if more else ""
        content = (
            f"<ListBucketResult><Name>x</Name><KeyCount>{len(keys[:PAGE])}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{listed}</ListBucketResult>"
        ).encode()
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """It has nothing to tell."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Lists) as found:
        found.pages = 0  # type: ignore[attr-defined]
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def bucket(server: ThreadingHTTPServer, tmp_path: Path, names: list[str]) -> Bucket:
    server.keys = sorted(f"p/in/{name}" for name in names)  # type: ignore[attr-defined]
    return bucket_of(open_store(BUCKET, f"http://127.0.0.1:{server.server_port}", KEYS), tmp_path, prefix="p")


def swept(of: Bucket, *, by_folder: bool = False, limit: int = 20_000, **selection: Any) -> Swept:
    chosen = Selection(**selection)
    return of.listing.sweep(chosen, at=0.0, by_folder=by_folder, order="name", limit=limit, skip={})


def test_all_pages_are_seen_and_so_many_are_kept_as_are_asked_for(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    of = bucket(server, tmp_path, [f"{n:04}.pdf" for n in range(3_500)])
    found = swept(of, limit=100)
    assert found.waiting == 3_500
    assert [one.name for one in found.candidates] == [b"%04d.pdf" % n for n in range(100)]
    assert server.pages == 4  # type: ignore[attr-defined]


def test_odd_keys_on_several_pages_hide_no_other(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    plain = [f"{n:04}.pdf" for n in range(3_500)]
    odd = ["0005//x.pdf", "1500/../x.pdf", "2500\x07.pdf", "2501\x7f.pdf", "/top.pdf"]
    of = bucket(server, tmp_path, plain + odd + ["sub/"])
    found = swept(of)
    assert found.waiting == 3_500, "promise 5: an odd key hides what others put in"
    assert {one.name.decode(): one.reason for one in found.left_alone} == {
        **dict.fromkeys(odd, "unusable-key"),
        "sub/": "folder-object",
    }


def test_what_is_left_alone_is_told_with_its_reason(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    names = ["a.pdf", "b.part", "c.txt", ".hidden", "d/e/f/deep.pdf", "~$x.docx", ".git/x.pdf", "n" * 1000 + ".pdf"]
    names += [".h.pdf", "~$l.pdf", "._x.pdf"]
    found = swept(bucket(server, tmp_path, names), depth=2, exclude=("*.txt",))
    assert [one.name for one in found.candidates] == [b"a.pdf"]
    assert {one.name[:9].decode(): one.reason for one in found.left_alone} == {
        "b.part": "temporary-name",
        ".h.pdf": "hidden-name",
        "~$l.pdf": "hidden-name",
        "c.txt": "excluded",
        "d/e/f/dee": "too-deep",
        "nnnnnnnnn": "path-too-long",
    }


def test_groups_are_first_level_subfolders_and_have_a_limit(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    names = ["g/1.pdf", "g/s/2.pdf", "g.pdf", "g-/1.pdf", *(f"huge/{n}.pdf" for n in range(GROUP_FILES + 1))]
    found = swept(bucket(server, tmp_path, names), by_folder=True)
    assert [(one.name, one.look.is_group) for one in found.candidates] == [
        (b"g", True),
        (b"g-", True),
        (b"g.pdf", False),
    ]
    assert [(one.name, one.reason) for one in found.left_alone] == [(b"huge", "group-too-large")]


def test_what_is_known_to_be_unwanted_is_passed_over_until_it_changes(
    server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    of = bucket(server, tmp_path, ["a.pdf", "b.pdf"])
    (first, second) = swept(of).candidates
    skip = {first.name: first.identity, second.name: first.identity}
    found = of.listing.sweep(Selection(), at=0.0, by_folder=False, order="oldest", limit=9, skip=skip)
    assert [one.name for one in found.candidates] == [b"b.pdf"]


def test_keys_come_from_the_shared_file_unless_the_environment_says_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert shared_credentials(environ) is None
    file.write_text(
        "[default]\naws_access_key_id = one\naws_secret_access_key = a%b\n[other]\naws_access_key_id = two\n"
    )
    source = shared_credentials(environ)
    assert source is not None
    told = source()
    assert (told["access_key_id"], told["secret_access_key"], told.get("token")) == ("one", "a%b", None)
    assert shared_credentials({**environ, "AWS_PROFILE": "other"}) is None  # no secret there
    assert shared_credentials({**environ, "AWS_ACCESS_KEY_ID": "x"}) is None
    assert shared_credentials({**environ, "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}) is None
    file.write_text("[default]\naws_access_key_id = new\naws_secret_access_key = b\naws_session_token = t\n")
    assert (source()["access_key_id"], source().get("token")) == ("new", "t")

"""The one hand that reaches into a bucket: a dozen calls, each of which says plainly what became of it.

Trouble of the store comes out as StoreTrouble, weather of the folder. It says whether the call certainly did nothing:
whatever is not certain is looked at again before it is repeated. No sentence holds a key id, a signature or a token.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

from hopperd.buckets.credentials import shared_credentials
from hopperd.buckets.raw_listing import ListingFailed, Page, RawListing
from hopperd.buckets.seen import Seen
from hopperd.errors import ConfigurationError
from hopperd.pipeline.naming import printable
from hopperd.ports import FolderTrouble

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore

WHOLE_BYTES: Final = 64 << 20  # what is put in one request, and so held in memory; more is put in parts
PAGE: Final = 1_000
PART_BYTES: Final = 16 << 20
PARTS_AT_ONCE: Final = 2
DEFAULT_REGION: Final = "us-east-1"
RETRIES: Final = 2
RETRY_SECONDS: Final = 15
REQUEST_SECONDS: Final = 60
CONNECT_SECONDS: Final = 5
CHUNK_BYTES: Final = 1 << 20
_CODE: Final = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,200})</Message>")
_STATUS: Final = re.compile(r"status code: (\d{3}[^:\n]{0,40})")
_NEVER_LEFT: Final = ("dns error", "tcp connect error")
_KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
}
JOB: Final = "hopperd-job"
SHA256: Final = "hopperd-sha256"
PART: Final = "hopperd-part"


class StoreTrouble(FolderTrouble):
    """The store would not. `is_certain_no`: whatever was asked for certainly did not happen."""

    def __init__(
        self, kind: Literal["disk", "gone", "crossing", "denied"], what: str, *, is_certain_no: bool = False
    ) -> None:
        super().__init__(kind, what)
        self.is_certain_no = is_certain_no


class Store:
    """A bucket. Every call may raise StoreTrouble, and nothing else for an operating error.

    `objects` may ask again by itself what did not go through; `once` never does: a create that is sent twice would
    find its own object in its way.
    """

    def __init__(self, objects: ObjectStore, once: ObjectStore, raw: RawListing, name: str) -> None:
        self._objects = objects
        self._once = once
        self._raw = raw
        self.name = name

    def look(self, key: str) -> Seen | None:
        try:
            return _seen(self._objects.head(key))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._trouble(error, "look at", key) from error

    def told(self, key: str) -> tuple[Seen, Mapping[str, str]] | None:
        """An object with what its metadata tells, names in lower case; None where nothing is."""
        try:
            found = self._objects.get(key, options={"head": True})
            return _seen(found.meta), {str(name).lower(): str(text) for name, text in found.attributes.items()}
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._trouble(error, "look at", key) from error

    def read(self, key: str, *, most_bytes: int) -> tuple[Seen, bytes] | None:
        """The whole of a small object; of one that is larger, its first bytes."""
        try:
            found = self._objects.get(key)
            content = bytearray()
            for chunk in found.stream(min_chunk_size=min(CHUNK_BYTES, most_bytes)):
                content += bytes(chunk)[: most_bytes - len(content)]
                if len(content) >= most_bytes:
                    break
            return _seen(found.meta), bytes(content)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._trouble(error, "read", key) from error

    def read_range(self, key: str, start: int, length: int) -> bytes | None:
        try:
            return bytes(self._objects.get_range(key, start=start, length=length))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._trouble(error, "read", key) from error

    def chunks(self, key: str) -> tuple[Seen, Iterator[bytes]] | None:
        """An object, piece by piece."""
        try:
            found = self._objects.get(key)
            return _seen(found.meta), self._pieces(found, key)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._trouble(error, "read", key) from error

    def _pieces(self, found: Any, key: str) -> Iterator[bytes]:
        try:
            for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)
        except Exception as error:
            raise self._trouble(error, "read", key) from error

    def put_new(self, key: str, content: bytes, told: Mapping[str, str] | None = None) -> bool:
        """Create the object whole; False where the key is taken, by whoever."""
        from obstore.exceptions import AlreadyExistsError

        try:
            self._once.put(key, content, mode="create", attributes=dict(told or {}), use_multipart=False)
        except AlreadyExistsError:
            return False
        except Exception as error:
            raise self._trouble(error, "write", key) from error
        return True

    def put_over(self, before: Seen, content: bytes) -> bool:
        """In place of this very version; False where it is another by now."""
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            self._once.put(before.key, content, mode={"e_tag": before.etag}, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            return False
        except Exception as error:
            raise self._trouble(error, "write", before.key) from error
        return True

    def put_parts(self, key: str, path: bytes) -> None:
        """A large local file under a key that is ours alone, in parts; over what is there."""
        try:
            with open(path, "rb") as file:
                self._objects.put(key, file, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        except Exception as error:
            raise self._trouble(error, "write", key) from error

    def copy(self, source: str, target: str) -> bool:
        """Inside the store, under a key that is ours alone; False where the source is gone."""
        try:
            self._objects.copy(source, target)
        except FileNotFoundError:
            return False
        except Exception as error:
            raise self._trouble(error, "copy", source) from error
        return True

    def copy_new(self, source: str, target: str) -> bool:
        """Inside the store, only where the target is free; False where it is taken."""
        from obstore.exceptions import AlreadyExistsError

        try:
            self._once.copy(source, target, overwrite=False)
        except AlreadyExistsError:
            return False
        except Exception as error:
            raise self._trouble(error, "copy", source) from error
        return True

    def remove(self, key: str) -> None:
        """It may be gone already."""
        try:
            self._objects.delete(key)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._trouble(error, "remove", key) from error

    def listed(self, prefix: str, *, unusable: bool = False) -> Iterator[Seen]:
        """Everything below `prefix/`, in the order of the keys, page by page.

        `unusable`: keys that no other call here can take are told as well.
        """
        from obstore.exceptions import InvalidPathError

        after = None
        try:
            for page in self._objects.list(prefix or None, chunk_size=PAGE):
                for one in page:
                    seen = _seen(one)
                    yield seen
                    after = seen.key
        except InvalidPathError:
            for raw in self._raw_pages(prefix, after=after):
                yield from (seen for seen in raw.objects if unusable or seen.is_usable)
        except Exception as error:
            raise self._trouble(error, "list", prefix) from error

    def level(self, prefix: str) -> tuple[Sequence[Seen], Sequence[str]]:
        """One level below `prefix/`: its objects, and the prefixes below it, without a slash at the end."""
        from obstore.exceptions import InvalidPathError

        try:
            found = self._objects.list_with_delimiter(prefix or None)
            objects, prefixes = [_seen(one) for one in found["objects"]], list(found["common_prefixes"])
        except InvalidPathError:
            pages = list(self._raw_pages(prefix, delimiter="/"))
            objects = [seen for page in pages for seen in page.objects if seen.is_usable]
            below = (one.removesuffix("/") for page in pages for one in page.prefixes)
            prefixes = [one for one in below if one and not one.endswith("/")]
        except Exception as error:
            raise self._trouble(error, "list", prefix) from error
        return sorted(objects, key=lambda seen: seen.key), sorted(prefixes)

    def _raw_pages(self, prefix: str, *, after: str | None = None, delimiter: str = "") -> Iterator[Page]:
        try:
            yield from self._raw.pages(prefix, after=after, delimiter=delimiter)
        except ListingFailed as error:
            what = f"the store would not list {self.name}/{printable(prefix)}: {sentence(str(error))}"
            raise StoreTrouble("gone", what) from error

    def _trouble(self, error: Exception, doing: str, key: str) -> Exception:
        """What the workers are told; programmer's mistakes and trouble told already pass as they are."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError | TimeoutError):
            return StoreTrouble("disk", f"cannot {doing} {printable(key)}: {error.strerror or error}")
        if not isinstance(error, BaseError | FileNotFoundError | TimeoutError):
            return error
        what = f"the store would not {doing} {self.name}/{printable(key)}: {sentence(str(error))}"
        if isinstance(error, PermissionDeniedError | UnauthenticatedError):
            return StoreTrouble("denied", what, is_certain_no=True)
        text = str(error).lower()
        refused = isinstance(error, FileNotFoundError) or any(sign in text for sign in _NEVER_LEFT)
        is_certain_no = refused and "timed out" not in text
        return StoreTrouble("gone", what, is_certain_no=is_certain_no)


def sentence(text: str) -> str:
    """What a store's answer says, without what it repeats of our request."""
    code, message, status = _CODE.search(text), _MESSAGE.search(text), _STATUS.search(text)
    if code or status:
        parts = [status[1] if status else "", code[1] if code else "", message[1] if message else ""]
        return printable(", ".join(part for part in parts if part))
    first = text.split("\n", 1)[0]
    return printable(first.rpartition(" - ")[2][:200])


def _seen(meta: Any) -> Seen:
    modified: datetime.datetime = meta["last_modified"]
    return Seen(key=meta["path"], etag=meta["e_tag"] or "", size_bytes=meta["size"], modified=int(modified.timestamp()))


def open_store(bucket: str, endpoint: str | None, environ: Mapping[str, str]) -> Store:
    """ConfigurationError where the library is missing or the environment says what it does not understand."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        sentence = "a folder in a bucket (s3://…) needs the library obstore: pip install 'hopperd[s3]'"
        raise ConfigurationError([sentence]) from None
    address = endpoint or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
    options: dict[str, Any] = {"copy_if_not_exists": "multipart"}
    options |= {option: environ[name] for name, option in _KEYS.items() if environ.get(name)}
    if address:
        options["endpoint"] = address
    options["region"] = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or DEFAULT_REGION
    provider = shared_credentials(environ)
    if provider is not None:
        options["credential_provider"] = provider
    client: ClientConfig = {"timeout": f"{REQUEST_SECONDS}s", "connect_timeout": f"{CONNECT_SECONDS}s"}
    if address.startswith("http://"):
        client["allow_http"] = True
    patience = datetime.timedelta(seconds=RETRY_SECONDS)
    try:
        objects, once = (
            S3Store(
                bucket, client_options=client, retry_config={"max_retries": n, "retry_timeout": patience}, **options
            )
            for n in (RETRIES, 0)
        )
    except (BaseError, ValueError) as error:
        raise ConfigurationError([f"s3://{bucket} cannot be used: {str(error).splitlines()[0][:200]}"]) from None
    base = address or f"https://s3.{options['region']}.amazonaws.com"
    raw = RawListing(bucket, base.rstrip("/"), options, client)
    return Store(objects, once, raw, f"s3://{bucket}")

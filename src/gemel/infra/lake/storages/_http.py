"""Files behind http(s): read by ranges, with a token where one is declared."""

from __future__ import annotations

import base64
import binascii
import contextlib
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import httpx2

from gemel.base.errors import ConfigInvalid, Denied, InvalidInput, StoreFull, StoreUnavailable, Unauthenticated
from gemel.infra.lake.storages._ranged import ranged
from gemel.infra.lake.storages._storage import (
    PIECE,
    Entry,
    Readable,
    Statted,
    changed,
    checked_options,
    checked_path,
    cut_off,
    missing,
    read_only,
    revealed,
)
from gemel.infra.lake.web import Web

_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
# Names of digests in `Want-Digest` (RFC 3230) and `Repr-Digest` (RFC 9530).
_DIGESTS = {"sha256": ("sha-256", "sha256"), "adler32": ("adler32", "adler"), "md5": ("md5",)}


class HttpStorage(Statted):
    """A web server's folder, only read.

    Args:
        name: As declared.
        options: `url` of the folder; `token`, a reference to the bearer token; `user` and `password` (a reference)
            instead; `ca`, a file of certificates to trust.
    """

    kind = "http"
    writable = False

    def __init__(self, name: str, options: Mapping[str, str]) -> None:
        known = {"url": True, "token": False, "user": False, "password": False, "ca": False}
        checked_options(self.kind, options, known, ("token", "password"))
        parts = urlsplit(options["url"])
        if parts.username or parts.password or parts.query or parts.fragment:
            hint = "Name the token as token=env:NAME or token=file:PATH."
            raise ConfigInvalid("The address of a storage holds no passwords and no queries.", hint=hint)
        with Web() as web:
            web.check(options["url"])
        self.name = name
        self._options = dict(options)
        self._base = options["url"].rstrip("/")
        trusted: Any = _trust(options["ca"]) if "ca" in options else True
        self._http = httpx2.Client(
            timeout=_TIMEOUT, follow_redirects=True, max_redirects=5, verify=trusted,
            headers={"Accept-Encoding": "identity"},
        )  # fmt: skip

    def stat(self, path: str) -> Entry:
        """Return what is known of a file."""
        with self._ask("HEAD", path) as answer:
            size = answer.headers.get("content-length")
        if size is None:
            with self._ask("GET", path, headers={"Range": "bytes=0-0"}) as answer:
                size = answer.headers.get("content-range", "").rpartition("/")[2]
        if not size.isdigit():
            raise StoreUnavailable(f"Storage '{self.name}' does not say how large '{path}' is.", storage=self.name)
        return Entry(path, int(size), instant(answer.headers.get("last-modified")), answer.headers.get("etag"))

    def open(self, path: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Return a part of a file that reads ranges; a server that knows none sends the whole once."""
        entry = self.stat(path)
        whole: list[BinaryIO] = []

        def fetch(start: int, stop: int) -> bytes:
            return self._fetch(entry, start, stop, whole)

        return ranged(path, entry.size, offset, length, fetch)

    def _fetch(self, entry: Entry, start: int, stop: int, whole: list[BinaryIO]) -> bytes:
        if whole:
            whole[0].seek(start)
            return whole[0].read(stop - start)
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        if entry.version and not entry.version.startswith("W/"):
            headers["If-Match"] = entry.version
        with self._ask("GET", entry.path, headers=headers) as answer:
            if answer.headers.get("etag") not in (None, entry.version):
                raise changed(self.name, entry.path)
            if answer.status_code == 200 and (start, stop) != (0, entry.size):
                whole.append(self._spooled(entry, answer))
                return self._fetch(entry, start, stop, whole)
            found = b"".join(answer.iter_bytes(PIECE))
        if len(found) != stop - start:
            raise cut_off(self.name, entry.path, stop - start, len(found))
        return found

    def _spooled(self, entry: Entry, answer: httpx2.Response) -> BinaryIO:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as whoever reads from it
        for piece in answer.iter_bytes(PIECE):
            file.write(piece)
        if file.tell() != entry.size:
            raise cut_off(self.name, entry.path, entry.size, file.tell())
        return file

    def write(self, path: str, stream: Readable, size: int | None = None) -> int:
        """Refuse."""
        raise read_only(self.name)

    def delete(self, path: str) -> None:
        """Refuse."""
        raise read_only(self.name)

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Refuse: HTTP has no lists.

        Raises:
            InvalidInput: Always.
        """
        raise InvalidInput(f"Storage '{self.name}' cannot list its files.", hint="Name them one by one.")

    def digest(self, path: str, algorithm: str) -> str | None:
        """Return the digest that the server tells when it is asked (RFC 3230, RFC 9530), or None."""
        names = _DIGESTS.get(algorithm, ())
        wanted = ",".join(names[:1])
        with self._ask("HEAD", path, headers={"Want-Digest": wanted, "Want-Repr-Digest": f"{wanted}=9"}) as answer:
            told = [answer.headers.get("repr-digest", ""), answer.headers.get("digest", "")]
        for name, value in (item.strip().split("=", 1) for text in told for item in text.split(",") if "=" in item):
            if name.lower() in names:
                return _hexadecimal(value, algorithm)
        return None

    def url(self, path: str) -> str:
        """Return the file's address."""
        return f"{self._base}/{quote(checked_path(path))}"

    def signed(self, path: str, seconds: int) -> str | None:
        """Return the file's address when it needs no token."""
        free = not {"token", "user", "ca"} & self._options.keys()
        return self.url(path) if free else None

    def close(self) -> None:
        """Let connections go."""
        self._http.close()

    def _authorisation(self) -> dict[str, str]:
        if "token" in self._options:
            return {"Authorization": f"Bearer {revealed(self.name, self._options['token'])}"}
        if "user" in self._options:
            pair = f"{self._options['user']}:{revealed(self.name, self._options.get('password', ''))}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {}

    @contextlib.contextmanager
    def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, content: Any = None, url: str = ""
    ) -> Iterator[httpx2.Response]:
        """Yield a successful answer before its body is read; `url` where it is not the file's own."""
        address = url or self.url(path)
        with self._reached(path):
            sent = {**self._authorisation(), **(headers or {})}
            with self._http.stream(method, address, headers=sent, content=content) as answer:
                self._require_success(answer, path)
                yield answer

    @contextlib.contextmanager
    def _reached(self, path: str) -> Iterator[None]:
        hint = "Is it up, and its address right? gemel data storages"
        try:
            yield
        except httpx2.TimeoutException as error:
            raise StoreUnavailable(f"Storage '{self.name}' does not answer in time.", hint=hint) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            reason = str(error).rstrip(".") or type(error).__name__
            message = f"Storage '{self.name}' cannot be reached, or broke off, at '{path}': {reason}."
            raise StoreUnavailable(message, hint=hint, storage=self.name, path=path) from error

    def _require_success(self, answer: httpx2.Response, path: str) -> None:
        code, where = answer.status_code, f"'{path}' on storage '{self.name}'"
        if answer.is_success:
            return
        if code in (404, 410):
            raise missing(self.name, path)
        if code == 401:
            raise Unauthenticated(f"{where} needs a valid token.", hint="Is its token set, and still valid?")
        if code == 403:
            raise Denied(f"Access to {where} is denied.", hint="Does the token allow this, below this path?")
        if code == 412:
            raise changed(self.name, path)
        if code == 507:
            raise StoreFull(f"No space is left on storage '{self.name}'.", hint="Nothing was half-written.")
        raise StoreUnavailable(f"Storage '{self.name}' answers with status {code} at '{path}'.", status=code)


def _trust(certificates: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=certificates)
    except OSError as error:
        raise ConfigInvalid(f"The certificates in '{certificates}' cannot be read: {error}.") from error


def instant(text: str | None) -> float | None:
    """Return a date of HTTP in seconds since 1970-01-01 UTC, or None."""
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None


def _hexadecimal(value: str, algorithm: str) -> str | None:
    """Return a header's digest (hexadecimal, base64, or base64 between colons) in hexadecimal."""
    length = {"adler32": 8, "md5": 32, "sha256": 64}[algorithm]
    text = value.strip().strip(':"')
    if len(text) <= length and algorithm == "adler32":
        text = text.zfill(length)
    if len(text) == length and all(sign in "0123456789abcdefABCDEF" for sign in text):
        return text.lower()
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return None

"""Files behind http(s): read by ranges, with a token where one is declared."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from urllib.parse import quote, unquote, urlsplit

import httpx2

from gemel.base.errors import ConfigInvalid, Denied, InvalidInput, StoreFull, StoreUnavailable, Unauthenticated
from gemel.infra.lake.storages._ranged import ranged
from gemel.infra.lake.storages._storage import (
    PIECE,
    Entry,
    Readable,
    Statted,
    TokenSource,
    changed,
    checked_options,
    checked_path,
    cut_off,
    missing,
    read_only,
    revealed,
)
from gemel.infra.lake.web import ON_BEHALF, Web

_NEW = 60.0  # seconds; a token older than this may have been withdrawn
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")  # as `openssl rehash` names certificates
_REST = 1 << 16  # bytes of an answer that nobody asked for, and that are read to keep the connection
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
# Names of digests in `Want-Digest` (RFC 3230) and `Repr-Digest` (RFC 9530).
_DIGESTS = {"sha256": ("sha-256", "sha256"), "adler32": ("adler32", "adler"), "md5": ("md5",)}


class HttpStorage(Statted):
    """A web server's folder, only read.

    Args:
        name: As declared.
        options: `url` of the folder; `token`, a reference to the bearer token, or `profile`, the name of a token
            profile, or `user` and `password` (a reference); `ca`, a file of certificates to trust, or a folder of them
            under their hashes.
        tokens: Where tokens come from, with a `profile`.
    """

    kind = "http"
    writable = False
    takes_tokens = True
    known: ClassVar[dict[str, bool]] = {
        "url": True, "token": False, "profile": False, "user": False, "password": False, "ca": False,
    }  # fmt: skip
    secrets: ClassVar[tuple[str, ...]] = ("token", "password")

    def __init__(self, name: str, options: Mapping[str, str], tokens: TokenSource | None = None) -> None:
        checked_options(self.kind, options, self.known, self.secrets)
        if "profile" in options and ({"token", "user"} & options.keys() or tokens is None):
            hint = "Leave out token= and user=." if tokens else "It is the engine that gives tokens by profile."
            raise ConfigInvalid(f"Storage '{name}' cannot use its token profile.", hint=hint)
        parts = urlsplit(options["url"])
        if parts.username or parts.password or parts.query or parts.fragment:
            hint = "Name the token as token=env:NAME or token=file:PATH."
            raise ConfigInvalid("The address of a storage holds no passwords and no queries.", hint=hint)
        with Web() as web:
            web.check(options["url"])
        self.name = name
        self._options = dict(options)
        self._tokens = tokens if "profile" in options else None
        self._base = options["url"].rstrip("/")
        verify: Any = trusted(options["ca"]) if "ca" in options else True
        self._http = httpx2.Client(
            timeout=_TIMEOUT, follow_redirects=True, max_redirects=5, verify=verify,
            headers={"Accept-Encoding": "identity", **ON_BEHALF},
        )  # fmt: skip

    def stat(self, path: str) -> Entry:
        """Return what is known of a file."""
        with self.ask("HEAD", path) as answer:
            size = answer.headers.get("content-length")
        if size is None:
            with self.ask("GET", path, headers={"Range": "bytes=0-0"}) as answer:
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
        with self.ask("GET", entry.path, headers=headers) as answer:
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
        with self.ask("HEAD", path, headers={"Want-Digest": wanted, "Want-Repr-Digest": f"{wanted}=9"}) as answer:
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
        free = not {"token", "profile", "user", "ca"} & self._options.keys()
        return self.url(path) if free else None

    def close(self) -> None:
        """Let connections go."""
        self._http.close()

    def authorisation(self, operation: str, path: str, seconds: float | None = None) -> dict[str, str]:
        """Return the headers that allow an operation on a file, fit to be handed to another server too.

        Args:
            operation: `read`, `write` (all that changes) or `delete`.
            path: Of the file.
            seconds: How long it has to last, for a service that cannot ask for another one. A `token` that was declared
                without a profile is given as it is.

        Raises:
            Unauthenticated, Denied, ConfigInvalid, StoreUnavailable: There is no token to be had, or none for so long.
        """
        if self._tokens is not None and seconds is not None:
            return _bearer(self._tokens.token(operation, unquote(urlsplit(self.url(path)).path), seconds))
        return self._authorisation(operation, self.url(path))

    def _authorisation(self, operation: str, address: str) -> dict[str, str]:
        if urlsplit(address)[:2] != urlsplit(self._base)[:2]:
            return {}  # another server, which has no business with this one's tokens
        if self._tokens is not None:
            return _bearer(self._tokens.token(operation, unquote(urlsplit(address).path)))
        if "token" in self._options:
            return _bearer(revealed(self.name, self._options["token"]))
        if "user" in self._options:
            pair = f"{self._options['user']}:{revealed(self.name, self._options.get('password', ''))}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        return {}

    @contextlib.contextmanager
    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, content: Any = None, url: str = ""
    ) -> Iterator[httpx2.Response]:
        """Yield a successful answer before its body is read; `url` where it is not the file's own.

        A token that the server refuses is given up, and the request sent once more with another where it can be: where
        there is no `content`, or it says by `again()` that it begins anew.
        """
        address, given = url or self.url(path), headers or {}
        operation = _operation(method, given)
        sent = {**({} if "Authorization" in given else self._authorisation(operation, address)), **given}
        with self._reached(path), contextlib.ExitStack() as stack:
            answer = stack.enter_context(self._http.stream(method, address, headers=sent, content=content))
            renewed = self._renewed(answer, operation, address, sent)
            if renewed and (content is None or isinstance(content, bytes) or _begun_anew(content)):
                stack.close()
                sent |= renewed
                answer = stack.enter_context(self._http.stream(method, address, headers=sent, content=content))
            self._require_success(answer, path)
            yield answer
            _finish(answer)

    def _renewed(
        self, answer: httpx2.Response, operation: str, address: str, sent: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the header with another token when the one that was sent may be at fault; otherwise nothing."""
        refused = sent.get("Authorization", "").removeprefix("Bearer ")
        # Where no token was shown none is: the address may be another server's.
        if self._tokens is None or not refused or answer.status_code not in (401, 403):
            return {}
        # XRootD answers 403 to an expired or withdrawn token too; one that is new was refused for what it allows.
        age = 0.0 if answer.status_code == 401 else _NEW
        other = self._tokens.another(operation, unquote(urlsplit(address).path), refused, age)
        return _bearer(other) if other else {}

    @contextlib.contextmanager
    def _reached(self, path: str) -> Iterator[None]:
        hint = "Is it up, and its address right? gemel data storages"
        try:
            yield
        except httpx2.TimeoutException as error:
            _strip(error)
            raise StoreUnavailable(f"Storage '{self.name}' does not answer in time.", hint=hint) from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            _strip(error)
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


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _finish(answer: httpx2.Response) -> None:
    """Read what is left of a short answer: a connection whose answer was not read to its end cannot be used again."""
    told = answer.headers.get("content-length", "")
    short = answer.request.method == "HEAD" or (told.isdecimal() and int(told) <= _REST)
    if short and not answer.is_stream_consumed:
        with contextlib.suppress(httpx2.HTTPError):
            answer.read()


def _begun_anew(content: Any) -> bool:
    again = getattr(content, "again", None)
    return bool(again and again())


def _operation(method: str, headers: Mapping[str, str]) -> str:
    if method == "DELETE":
        return "delete"
    reading = method in ("GET", "HEAD", "PROPFIND", "OPTIONS") or (method == "COPY" and "Source" not in headers)
    return "read" if reading else "write"


def _strip(error: Exception) -> None:
    """Remove what is secret from the request that an error holds, which lives on as its cause."""
    with contextlib.suppress(AttributeError, RuntimeError):
        for name in ("Authorization", "TransferHeaderAuthorization"):
            error.request.headers.pop(name, None)  # type: ignore[attr-defined]


def trusted(certificates: str) -> ssl.SSLContext:
    """Return what trusts the certificates in a file, or in a folder that holds them under their hashes.

    Raises:
        ConfigInvalid: There are none that can be read.
    """
    place = Path(certificates).expanduser()
    try:
        if not place.is_dir():
            return ssl.create_default_context(cafile=place)
        if not any(_HASHED.fullmatch(path.name) for path in place.iterdir()):
            hint = f"openssl rehash {certificates}"
            raise ConfigInvalid(f"There are no certificates under their hashes in '{certificates}'.", hint=hint)
        return ssl.create_default_context(capath=place)
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

"""The other side of a third-party copy: a file behind http(s), read or written with a token that the client sent along."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from gemel.base.errors import Denied, GemelError, InvalidInput, StoreUnavailable
from gemel.faces.storage._digests import asked_of_others, digests_in
from gemel.faces.storage._flow import Broken
from gemel.infra.lake.storages import PIECE, Readable

# A server of the same user may take a connection for that user's own: this says whom the request comes from.
_OWN = {"Via": "1.1 gemel-storage-element"}
_CONNECT_SECONDS = 10.0
_CONTINUE_SECONDS = 1.0  # RFC 9110, section 10.1.1: a client does not wait indefinitely for 100 (Continue)
_REDIRECTS = 5
_REASON_BYTES = 300
_LINES = 200
_LINE_BYTES = 65_536


@dataclass(frozen=True)
class Told:
    """What the other side says.

    Attributes:
        status: Of HTTP.
        headers: By lower-case name.
        text: How an answer that reports an error begins.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of the file, where it is told."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isdigit() else None

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the file, in hexadecimal by algorithm, as far as they are told and known here."""
        return digests_in(self.headers)


class Remote:
    """A file on another server.

    Args:
        address: As the client wrote it.
        headers: Sent to it, and on to where it redirects on the same origin; to no other.
        check: Raises for an address that must not be asked.
        silence: Seconds without a byte after which the other side is taken for gone.
    """

    def __init__(self, address: str, headers: Mapping[str, str], check: Callable[[str], None], silence: float) -> None:
        self._address, self._headers = address, dict(headers)
        self._check, self._silence = check, silence
        self._socket: socket.socket | None = None
        self.cancelled = False
        self._checked(address)

    def cancel(self) -> None:
        """End what is going on in another thread, as if the other side had hung up."""
        self.cancelled = True
        live = self._socket
        if live is not None:
            with contextlib.suppress(OSError):
                # Of the plain socket, even below TLS: whoever waits for it wakes up.
                socket.socket.shutdown(live, socket.SHUT_RDWR)

    def again(self) -> Remote:
        """Return the same file, as if nothing had been cancelled."""
        return Remote(self._address, self._headers, self._check, self._silence)

    def head(self, digests: bool = True) -> Told:
        """Return what the other side tells of the file, digests included if they are wanted."""
        with self._asked("HEAD", asked_of_others() if digests else {}) as answer:
            return _told(answer)

    def delete(self) -> None:
        """Ask the other side to remove the file."""
        with self._asked("DELETE", {}):
            pass

    @contextlib.contextmanager
    def get(self) -> Iterator[tuple[Told, Readable]]:
        """Yield what the other side tells of the file, and its content.

        Raises:
            StoreUnavailable: It cannot be reached, refuses, or sends something else than the whole file.
        """
        with self._asked("GET", {}) as answer:
            told = _told(answer)
            if answer.status != 200:
                raise self._failed(told)
            if told.headers.get("content-encoding", "identity") != "identity":
                raise StoreUnavailable(f"{self.host} sends the file in an encoding that was not asked for.")
            yield told, _Body(self, answer)

    def put(self, stream: Readable, size: int) -> Told:
        """Return how the other side answers to a file of `size` bytes.

        Raises:
            StoreUnavailable: It cannot be reached, or refuses.
        """
        headers = {**self._headers, **_OWN, "Content-Length": str(size), "Expect": "100-continue"}
        address = self._address
        for _ in range(_REDIRECTS + 1):
            with self._spoken(address) as connection:
                told = self._sent(connection, address, headers, stream)
            if told.status not in (301, 302, 307, 308) or "location" not in told.headers:
                break
            address, headers = self._followed(address, told.headers["location"], headers)
        if not 200 <= told.status < 300:
            raise self._failed(told)
        return told

    def _sent(
        self, connection: http.client.HTTPConnection, address: str, headers: Mapping[str, str], stream: Readable
    ) -> Told:
        connection.putrequest("PUT", _target(address), skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        live = connection.sock
        live.settimeout(_CONTINUE_SECONDS)
        try:
            early = _head(live.makefile("rb"))
        except TimeoutError:
            early = None
        live.settimeout(self._silence)
        if early is not None and early.status != 100:
            return early
        try:
            while piece := stream.read(PIECE):
                live.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            if self.cancelled:
                raise
            # It stopped listening; what it has to say may still be there.
        reader = live.makefile("rb")
        told = _head(reader)
        while told.status < 200:
            told = _head(reader)
        return told

    @contextlib.contextmanager
    def _asked(self, method: str, headers: Mapping[str, str]) -> Iterator[http.client.HTTPResponse]:
        sent = {**self._headers, **_OWN, **headers, "Accept-Encoding": "identity"}
        address = self._address
        for _ in range(_REDIRECTS + 1):
            with self._spoken(address) as connection:
                connection.request(method, _target(address), headers=sent)
                answer = connection.getresponse()
                where = answer.getheader("Location")
                if answer.status not in (301, 302, 303, 307, 308) or where is None:
                    yield answer
                    return
            address, sent = self._followed(address, where, sent)
        raise StoreUnavailable(f"{self.host} redirects more than {_REDIRECTS} times.")

    def _followed(self, address: str, where: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return where a redirect leads and what is sent there: nothing of the client's to another origin.

        RFC 9110, section 15.4: headers such as Authorization are left out where they were not meant for the target.
        """
        found = urljoin(address, where)
        before, after = urlsplit(address), self._checked(found)
        if (before.scheme, after.scheme) == ("https", "http"):
            raise Denied(f"{self.host} redirects to an address without encryption.")
        if _origin(before) == _origin(after):
            return found, dict(headers)
        private = {name.lower() for name in self._headers} - {name.lower() for name in _OWN}
        return found, {name: value for name, value in headers.items() if name.lower() not in private}

    def _checked(self, address: str) -> SplitResult:
        try:
            parts = urlsplit(address)
            _ = parts.port
        except ValueError as error:
            raise InvalidInput(f"'{address[:200]}' is no address.") from error
        if parts.username or parts.password:
            raise InvalidInput("An address holds no passwords.", hint="Send TransferHeaderAuthorization.")
        self._check(address)
        return parts

    @contextlib.contextmanager
    def _spoken(self, address: str) -> Iterator[http.client.HTTPConnection]:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        connection = (
            http.client.HTTPSConnection(host, port, timeout=_CONNECT_SECONDS, context=_trust())
            if parts.scheme == "https"
            else http.client.HTTPConnection(host, port, timeout=_CONNECT_SECONDS)
        )
        try:
            connection.connect()
            self._socket = connection.sock
            # The name may have led elsewhere when it was checked.
            _check_peer(connection.sock, host)
            connection.sock.settimeout(self._silence)
            if self.cancelled:
                raise Broken
            yield connection
        except TimeoutError as error:
            self._stop_if_cancelled()
            raise StoreUnavailable(f"{self.host} does not answer in time.") from error
        except (http.client.HTTPException, ssl.SSLError, OSError, ValueError) as error:
            self._stop_if_cancelled()
            if isinstance(error, GemelError):
                raise
            raise StoreUnavailable(f"{self.host} cannot be reached, or broke off: {_reason(error)}.") from error
        finally:
            self._socket = None
            connection.close()

    def _stop_if_cancelled(self) -> None:
        if self.cancelled:
            raise Broken

    @property
    def host(self) -> str:
        """Name of the other side, for messages."""
        return f"'{urlsplit(self._address).netloc}'"

    def _failed(self, told: Told) -> StoreUnavailable:
        text = " ".join(told.text.split())
        return StoreUnavailable(f"{self.host} answers with status {told.status}{': ' if text else ''}{text}")


class _Body:
    """The content of a file that the other side sends."""

    def __init__(self, remote: Remote, answer: http.client.HTTPResponse) -> None:
        self._remote, self._answer = remote, answer

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            Broken: The copy was cancelled.
        """
        found = self._answer.read(size)
        if self._remote.cancelled:
            raise Broken
        return found


def _told(answer: http.client.HTTPResponse) -> Told:
    headers = {name.lower(): value for name, value in answer.getheaders()}
    text = answer.read(_REASON_BYTES).decode("utf-8", "replace") if answer.status >= 400 else ""
    return Told(answer.status, headers, text)


def _head(reader: BinaryIO) -> Told:
    """Return the head of an answer, and how its body begins where it reports an error."""
    line = reader.readline(_LINE_BYTES).decode("latin-1")
    version, _, rest = line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise http.client.BadStatusLine(line.strip()[:100] or "nothing")
    status = int(rest[:3])
    headers: dict[str, str] = {}
    for _ in range(_LINES):
        line = reader.readline(_LINE_BYTES).decode("latin-1").strip()
        if not line:
            break
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "")
    most = min(int(length), _REASON_BYTES) if length.isdigit() else 0
    text = reader.read(most).decode("utf-8", "replace") if status >= 400 else ""
    return Told(status, headers, text)


def _target(address: str) -> str:
    parts = urlsplit(address)
    path = quote(parts.path or "/", safe="/%:=&?~+!$,;'@()*[]|")
    return f"{path}?{quote(parts.query, safe='/%:=&?~+!$,;@()*[]|')}" if parts.query else path


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)


def _check_peer(live: socket.socket, host: str) -> None:
    found = ipaddress.ip_address(str(live.getpeername()[0]).split("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    if found.is_link_local or (mapped is not None and mapped.is_link_local):
        raise Denied(f"'{host}' is not a host to exchange data with.")


def _trust() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Where the certificates of grid authorities lie, by the custom of all grid software.
    folder = os.environ.get("X509_CERT_DIR")
    if folder:
        with contextlib.suppress(OSError):
            context.load_verify_locations(capath=folder)
    return context


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")

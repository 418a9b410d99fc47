"""Observations that others send over HTTP: CloudEvents in every mode of its HTTP binding, and plain JSON."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from gemel.base.clock import utc_now
from gemel.base.errors import Denied, InvalidInput
from gemel.base.sizes import spoken_size
from gemel.core.stream.events import Event
from gemel.core.stream.sources._options import Options, revealed
from gemel.core.stream.sources._payload import MAPPING_OPTIONS, Payloads, is_cloudevent, parsed
from gemel.core.stream.sources._source import SourceContext

_STRUCTURED, _BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
_MOST = 10_000  # events in one request


class Webhook:
    """A `Receiver` for the CloudEvents HTTP protocol binding 1.0.2 and for JSON by mapping.

    Options:
        secret: Reference to the key of an HMAC-SHA256 over the body as it was sent (default: none is asked for).
        signature: Header that the signature stands in, like ``sha256=…`` (default ``X-Hub-Signature-256``).
        largest: Greatest size of a body, unpacked (default 8 MB).
        format, time, fields, id, subject: How payloads are read.
    """

    def __init__(self, context: SourceContext) -> None:
        options = Options(context, "webhook", ["secret", "signature", "largest", *MAPPING_OPTIONS])
        self._context, self._payloads = context, Payloads(context, options)
        self._secret = options.reference("secret")
        self._signature = options.text("signature", "X-Hub-Signature-256").lower()
        self._largest = options.size("largest", "8 MB")

    def events(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield nothing, and end when stopped: what arrives is handed to `receive`."""
        self._context.stop.wait()
        yield from ()

    def receive(self, headers: Mapping[str, str], body: bytes) -> Sequence[Event]:
        """Return the events in a request; in a batch, those that are good, the others being rejected.

        Args:
            headers: With names in lower case.
            body: As it was sent.

        Raises:
            InvalidInput: There is no event in it, it is too large, or it is packed in an unknown way.
            Denied: The signature is not that of the shared secret.
        """
        self._prove(headers, body)
        arrived = utc_now()
        body = unpacked(body, headers.get("content-encoding", "identity"), self._largest)
        kind = headers.get("content-type", "application/json")
        media = kind.partition(";")[0].strip().lower()
        if "ce-specversion" in headers and media not in (_STRUCTURED, _BATCH):
            return [self._payloads.mapped(binary(headers, body), arrived)]
        _require_utf8(kind)
        if media in (_BATCH, _STRUCTURED):
            return self._many(_cloudevents(parsed(body), media), arrived)
        if media.startswith("application/cloudevents"):
            raise InvalidInput(f"CloudEvents in the format '{media}' are not known; {_STRUCTURED} is.")
        return self._many(self._items(body), arrived)

    def _items(self, body: bytes) -> list[Any]:
        found = parsed(body)
        return found if isinstance(found, list) else [found]

    def _many(self, items: Sequence[Any], arrived: datetime) -> list[Event]:
        if len(items) > _MOST:
            raise InvalidInput(f"The request holds {len(items):,} events; {_MOST:,} are allowed.")
        found, refused = list[Event](), list[tuple[InvalidInput, Any]]()
        for number, item in enumerate(items):
            try:
                # Readings without a time that come together are told apart by their place.
                found.append(self._payloads.mapped(item, arrived, f"{arrived.isoformat()}#{number}"))
            except InvalidInput as error:
                refused.append((error, item))
        if refused and not found:
            raise refused[0][0]
        for problem, item in refused:
            self._context.reject(problem.message, json.dumps(item).encode())
        return found

    def _prove(self, headers: Mapping[str, str], body: bytes) -> None:
        if self._secret is None:
            return
        wanted = hmac.new((revealed(self._secret) or "").encode(), body, hashlib.sha256).hexdigest()
        given = headers.get(self._signature, "").strip().lower().removeprefix("sha256=")
        if not hmac.compare_digest(wanted.encode(), given.encode()):
            message = f"The signature in '{self._signature}' is not that of the secret of '{self._context.name}'."
            raise Denied(message, hint="It is sha256=HMAC-SHA256(secret, body), in hexadecimal.")


def binary(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the CloudEvent of a request in binary mode (HTTP protocol binding 1.0.2, section 3.1).

    Raises:
        InvalidInput: The body is not of the type that it says.

    >>> sent = {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "rain", "ce-source": "/g%20r", "content-type": "text/plain"}
    >>> binary(sent, b"3 mm")["data"], binary(sent, b"")["source"]
    ({'value': '3 mm'}, '/g r')
    """
    found: dict[str, Any] = {
        name[3:]: unquote(value.strip().strip('"')) for name, value in headers.items() if name.startswith("ce-")
    }
    kind = headers.get("content-type", "application/json")
    media = kind.partition(";")[0].strip().lower()
    if not body:
        return found | {"data": {}}
    if media == "application/json" or media.endswith("+json"):
        _require_utf8(kind)
        return found | {"data": parsed(body)}
    if media.startswith("text/"):
        _require_utf8(kind)
        try:
            return found | {"data": {"value": body.decode()}}
        except UnicodeDecodeError as error:
            raise InvalidInput(f"The payload is not UTF-8: byte {error.start} cannot be read.") from error
    return found | {"data": {"content_type": media, "data_base64": base64.b64encode(body).decode()}}


def unpacked(body: bytes, encoding: str, largest: int) -> bytes:
    """Return a body without its content coding, as long as that is at most `largest` bytes.

    Raises:
        InvalidInput: It is larger, broken, or packed in an unknown way.

    >>> import gzip
    >>> unpacked(gzip.compress(b"rain"), "gzip", 100)
    b'rain'
    """
    encoding = encoding.strip().lower() or "identity"
    windows = {"gzip": 31, "x-gzip": 31, "deflate": 15}
    if encoding != "identity":
        if encoding not in windows:
            raise InvalidInput(f"Bodies packed as '{encoding[:40]}' are not taken.", hint="gzip and deflate are.")
        body = _inflated(body, windows[encoding], largest)
    if len(body) > largest:
        raise InvalidInput(f"The body is larger than {spoken_size(largest)}.", hint="Send less at a time.")
    return body


def _inflated(body: bytes, window: int, largest: int) -> bytes:
    unpacker = zlib.decompressobj(window)
    try:
        found = unpacker.decompress(body, largest + 1)
    except zlib.error as error:
        raise InvalidInput(f"The body cannot be unpacked: {error}.") from error
    if len(found) <= largest and not unpacker.eof:
        raise InvalidInput("The body cannot be unpacked: it ends early.")
    return found


def _cloudevents(found: Any, media: str) -> list[Any]:
    if media == _STRUCTURED:
        found = [found]
    if not isinstance(found, list):
        raise InvalidInput("A batch of CloudEvents is a JSON array.")
    for item in found:
        if not is_cloudevent(item):
            raise InvalidInput("The request has something in it that is no CloudEvent.", hint="specversion, type, …")
    return found


def _require_utf8(kind: str) -> None:
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", kind, re.IGNORECASE)
    if charset and charset.group(1).lower() not in ("utf-8", "utf8", "us-ascii"):
        raise InvalidInput(f"Payloads in the character set '{charset.group(1)[:40]}' are not read.", hint="utf-8 is.")

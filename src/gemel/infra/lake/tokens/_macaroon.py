"""Macaroons: bearer tokens that whoever holds one can narrow, and nobody can widen."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gemel.base.errors import InvalidInput

# The constant that libmacaroons derives keys with, padded with zeros to the length of a key of HMAC-SHA-256.
_GENERATOR = b"macaroons-key-generator".ljust(32, b"\0")
_TEXT = 32_768  # characters; libmacaroons takes no longer strings, and servers no longer headers
_PACKET = 0xFFFF  # bytes: the length of a packet is written with four hexadecimal digits
_SIGNATURE = 32  # bytes of SHA-256
_PREFIX = 4
_BEFORE = "before:"


@dataclass(frozen=True)
class Macaroon:
    """A macaroon whose caveats the server itself checks (first-party), in version 1 of the binary format.

    The construction is that of Birgisson et al., "Macaroons: Cookies with Contextual Caveats for Decentralized
    Authorization in the Cloud" (NDSS 2014, section III): each caveat is signed with the signature before it.

    Attributes:
        location: Where it is meant for; XRootD takes its site's name. A hint, not signed.
        identifier: What the server finds its key by.
        caveats: All of them must hold.
        signature: HMAC-SHA-256, 32 bytes; not shown, since it is what makes a token of the rest.

    >>> token = Macaroon.mint(b"key of the site", "site-a", "1", ["path:/data"])
    >>> narrow = token.attenuated(["activity:DOWNLOAD"])
    >>> narrow.caveats, narrow.verified(b"key of the site"), narrow.verified(b"another key")
    (('path:/data', 'activity:DOWNLOAD'), True, False)
    """

    location: str
    identifier: bytes
    caveats: tuple[str, ...]
    signature: bytes = field(repr=False)

    @classmethod
    def mint(cls, key: bytes, location: str, identifier: str, caveats: Sequence[str] = ()) -> Macaroon:
        """Return a new macaroon.

        Args:
            key: The server's secret; XRootD's file holds it in base64.
            location: The server's name for itself.
            identifier: Of this macaroon.
            caveats: What it is narrowed by.

        Raises:
            InvalidInput: The key is empty, or a part too long for the format.
        """
        if not key:
            raise InvalidInput("A macaroon needs a key that is not empty.")
        derived = _signed(_GENERATOR, key)
        bare = cls(location, identifier.encode(), (), _signed(derived, identifier.encode()))
        return bare.attenuated(caveats)

    @classmethod
    def parse(cls, text: str) -> Macaroon:
        """Return the macaroon that a text says: base64 of either alphabet, with or without padding.

        Raises:
            InvalidInput: It is none, or one with caveats for third parties; the message repeats nothing of it.
        """
        if len(text) > _TEXT:
            raise _unreadable(f"it is longer than {_TEXT} characters")
        packets = _packets(_decoded(text))
        names = [name for name, _ in packets]
        caveats = len(names) - 3
        if {"vid", "cl"} & set(names):
            raise _unreadable("it has caveats for third parties, which no storage takes")
        if caveats < 0 or names != ["location", "identifier", *["cid"] * caveats, "signature"]:
            raise _unreadable("its packets are not those of a macaroon")
        location, identifier, *between, signature = (value for _, value in packets)
        if len(signature) != _SIGNATURE:
            raise _unreadable("its signature has the wrong length")
        return cls(_spoken(location), identifier, tuple(_spoken(item) for item in between), signature)

    def attenuated(self, caveats: Sequence[str]) -> Macaroon:
        """Return the same macaroon narrowed by further caveats; no key is needed for that.

        Raises:
            InvalidInput: One is too long for the format, or all together.
        """
        signature = self.signature
        for caveat in caveats:
            signature = _signed(signature, caveat.encode())
        narrowed = replace(self, caveats=(*self.caveats, *caveats), signature=signature)
        if len(narrowed.text) > _TEXT:
            raise InvalidInput(f"A macaroon would be longer than {_TEXT} characters.", hint="Use shorter paths.")
        return narrowed

    @property
    def text(self) -> str:
        """The macaroon as a bearer token: base64 for addresses, without padding."""
        parts = [_packet(b"location", self.location.encode()), _packet(b"identifier", self.identifier)]
        parts += [_packet(b"cid", caveat.encode()) for caveat in self.caveats]
        parts.append(_packet(b"signature", self.signature))
        return base64.urlsafe_b64encode(b"".join(parts)).decode().rstrip("=")

    @property
    def expires(self) -> float | None:
        """The earliest time of its `before:` caveats in seconds since 1970-01-01 UTC, or None without one."""
        told = [_instant(caveat.removeprefix(_BEFORE)) for caveat in self.caveats if caveat.startswith(_BEFORE)]
        return min((item for item in told if item is not None), default=None)

    def verified(self, key: bytes) -> bool:
        """Return whether the signature is that of `key`, in a time that tells nothing of it."""
        signature = _signed(_signed(_GENERATOR, key), self.identifier)
        for caveat in self.caveats:
            signature = _signed(signature, caveat.encode())
        return hmac.compare_digest(signature, self.signature)


def _signed(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _packet(name: bytes, value: bytes) -> bytes:
    length = _PREFIX + len(name) + 1 + len(value) + 1
    if length > _PACKET:
        raise InvalidInput(f"A part of a macaroon may have {_PACKET} bytes at most.")
    return f"{length:04x}".encode() + name + b" " + value + b"\n"


def _decoded(text: str) -> bytes:
    plain = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    try:
        found = base64.b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise _unreadable("it is no base64") from error
    if found[:1] == b"\x02":
        raise _unreadable("it is of version 2 of the format; version 1 is what storages speak")
    return found


def _packets(raw: bytes) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    while raw:
        prefix = raw[:_PREFIX]
        if len(prefix) < _PREFIX or any(sign not in b"0123456789abcdef" for sign in prefix):
            raise _unreadable("a packet does not say how long it is")
        length = int(prefix, 16)
        body = raw[_PREFIX:length]
        name, blank, value = body.partition(b" ")
        if len(raw) < length or not blank or not value.endswith(b"\n") or not name.isalpha():
            raise _unreadable("a packet is cut off")
        found.append((name.decode("ascii"), value[:-1]))
        raw = raw[length:]
    return found


def _spoken(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _unreadable("a caveat is no text") from error


def _instant(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _unreadable(reason: str) -> InvalidInput:
    return InvalidInput(f"The token is no macaroon that can be read: {reason}.")

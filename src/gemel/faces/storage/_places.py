"""Where a request points: a storage and a path on it, taken from the address as it was sent, before anyone decoded it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlsplit

from gemel.base.errors import Denied, InvalidInput, NotFound
from gemel.infra.lake.storages import checked_path, in_writing

PREFIX = "/dav"
_SCHEMES = {"dav": "http", "davs": "https"}


@dataclass(frozen=True)
class Spot:
    """A place of the element.

    Attributes:
        storage: Name; empty for the list of all.
        path: On the storage; empty for its top.
        slash: Whether the address ended in a slash, as those of folders do.
    """

    storage: str
    path: str
    slash: bool = False

    @property
    def place(self) -> str:
        """The address's path, decoded and without a slash at its end: what `path:` caveats are compared with."""
        return "/".join(part for part in (PREFIX, self.storage, self.path) if part)

    @property
    def parent(self) -> str:
        """The path of the folder around it; empty for the top."""
        return self.path.rpartition("/")[0]

    def href(self, path: str, folder: bool) -> str:
        """Return the escaped address of a path on the same storage."""
        plain = "/".join(part for part in (PREFIX, self.storage, path) if part)
        return quote(plain) + ("/" if folder else "")


def spot_of(raw: str) -> Spot:
    """Return the place that the escaped path of an address means.

    Raises:
        InvalidInput: It is none: dots, empty parts, control characters, no UTF-8, or slashes in disguise.
        NotFound: It does not begin with the face's prefix.
        Denied: It is a name that files have while they are written.

    >>> spot_of("/dav/home/a%20b/c.nc")
    Spot(storage='home', path='a b/c.nc', slash=False)
    """
    start, prefix, *rest = [_decoded(part) for part in raw.split("/")] + [""] * (raw.count("/") < 1)
    if start or f"/{prefix}" != PREFIX:
        raise NotFound(f"There is nothing at {raw[:200]!r}.")
    slash = bool(rest) and rest[-1] == ""
    storage, *names = (rest[:-1] if slash else rest) or [""]
    if names:
        checked_path("/".join(names))
    if not storage and len(rest) > 1:
        raise InvalidInput("There are two slashes in a row in the address.", hint="Write single ones.")
    if any(in_writing(name) for name in names):
        raise Denied("Names like this are those of files that are being written.", hint="Choose another name.")
    return Spot(storage, "/".join(names), slash)


def destination_of(header: str, host: str) -> Spot | None:
    """Return the place of ours that a `Destination` means (RFC 4918, section 10.3), or None for another server's.

    Args:
        header: As it was sent, an address or an absolute path.
        host: The `Host` that the request itself was sent to.

    Raises:
        InvalidInput: It is neither, or no place of ours could be called so.
    """
    try:
        parts = urlsplit(plain_address(header))
    except ValueError as error:
        raise InvalidInput(f"The destination {header[:200]!r} is no address.") from error
    if parts.netloc and (parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower()):
        return None
    if parts.scheme and not parts.netloc:
        return None
    if parts.query or parts.fragment or not parts.path.startswith("/"):
        hint = "Escape '?' and '#' in names, and begin with http://, https:// or a slash."
        raise InvalidInput(f"The destination {header[:200]!r} is no address.", hint=hint)
    return spot_of(parts.path)


def plain_address(address: str) -> str:
    """Return an address as the web writes it, where grid clients say `dav` for http and `davs` for https.

    >>> plain_address("davs://example.org/f"), plain_address(" http://example.org/f")
    ('https://example.org/f', 'http://example.org/f')
    """
    scheme, mark, rest = address.strip().partition("://")
    return _SCHEMES.get(scheme.lower(), scheme) + mark + rest


def _decoded(part: str) -> str:
    try:
        found = unquote_to_bytes(part).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("The address is not UTF-8.", hint="Escape the bytes of its UTF-8.") from error
    if "/" in found:
        raise InvalidInput("There is an escaped slash in the address.", hint="No name can hold one.")
    return found

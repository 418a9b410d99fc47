"""What a storage is to gemel, and what all storages share: paths that cannot escape, options that are known."""

from __future__ import annotations

import abc
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

from gemel.base.config import secret
from gemel.base.errors import ConfigInvalid, Denied, InvalidInput, NotFound, StoreUnavailable, did_you_mean
from gemel.base.ids import digest_bytes

PIECE = 1 << 20  # bytes that are moved at a time: handing one over costs little beside hashing it
_PATH_BYTES = 1000  # S3 allows 1024 for a key, the storage's own prefix included
_PART_BYTES = 255  # the limit of a name on ext4, XFS and tmpfs


class Readable(Protocol):
    """Something that bytes are read from, such as an open file."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        ...


@dataclass(frozen=True)
class Entry:
    """One file on a storage.

    Attributes:
        path: Below the storage's root, with slashes.
        size: In bytes.
        modified: Seconds since 1970-01-01 UTC, where the storage says so.
        version: What changes when the content does (an ETag, say), where the storage says so.
    """

    path: str
    size: int
    modified: float | None = None
    version: str | None = None


@runtime_checkable
class Storage(Protocol):
    """A place where files lie under paths; safe for threads.

    Errors come from one tree: `NotFound` (nothing there), `Denied` and `Unauthenticated`, `StoreFull`,
    `StoreUnavailable` (cannot be reached, or ended in the middle), `InvalidInput` (a path that cannot be).

    Attributes:
        name: As it was declared.
        kind: Name of the plugin.
        writable: Whether `write` and `delete` can work.
    """

    name: str
    kind: str
    writable: bool

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        ...

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""
        ...

    def stat(self, path: str) -> Entry:
        """Return what is known of a file."""
        ...

    def open(self, path: str, offset: int = 0, length: int | None = None) -> BinaryIO:
        """Return a part of a file (default: all) as a seekable file that reads only the ranges it is asked for."""
        ...

    def write(self, path: str, stream: Readable, size: int | None = None) -> int:
        """Return how many bytes were written; when reading or writing fails, what was there before stays as it was.

        Args:
            path: Replaced when there is a file.
            stream: Read to its end.
            size: Number of bytes to come, where it is known; some servers ask for it.
        """
        ...

    def delete(self, path: str) -> None:
        """Remove a file."""
        ...

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all files below the folder `prefix` (default: all there are); none for a folder that is not there."""
        ...

    def digest(self, path: str, algorithm: str) -> str | None:
        """Return the digest in hexadecimal when the storage can tell it by itself, without sending the file."""
        ...

    def url(self, path: str) -> str:
        """Return the address of a file; it holds no secret."""
        ...

    def signed(self, path: str, seconds: int) -> str | None:
        """Return an http(s) address that anybody can read ranges of for so long, or None."""
        ...

    def close(self) -> None:
        """Let connections go."""
        ...


class TokenSource(Protocol):
    """Where a storage gets its tokens, each for one operation below one folder."""

    def token(self, operation: str, path: str, seconds: float | None = None) -> str:
        """Return a token.

        Args:
            operation: `read`, `write` (all that changes) or `delete`.
            path: Of the file on the server, from its root; of a folder with a slash at the end.
            seconds: How long it has to last, where that matters.
        """
        ...

    def another(self, operation: str, path: str, refused: str, age: float = 0.0) -> str | None:
        """Return a token in place of one that the server refused.

        None when there is no other, or when the refused one was got less than `age` seconds ago.
        """
        ...


class Statted(abc.ABC):
    """`exists` and `size` by way of `stat`."""

    @abc.abstractmethod
    def stat(self, path: str) -> Entry:
        """Return what is known of a file."""

    def exists(self, path: str) -> bool:
        """Return whether there is a file."""
        try:
            self.stat(path)
        except NotFound:
            return False
        return True

    def size(self, path: str) -> int:
        """Return the size of a file in bytes."""
        return self.stat(path).size


def checked_path(path: str) -> str:
    """Return `path` as it is when it is plainly below a root: parts between single slashes, none of them dots.

    Raises:
        InvalidInput: It is not.

    >>> checked_path("fulda/rain 2020.nc")
    'fulda/rain 2020.nc'
    """
    parts = path.split("/")
    reason = None
    if not path or any(part in ("", ".", "..") for part in parts):
        reason = "its parts must be names, with single slashes between them"
    elif any(unicodedata.category(sign) in ("Cc", "Cs") for sign in path) or "\\" in path:
        reason = "it has control characters or backslashes in it"
    elif len(path.encode()) > _PATH_BYTES or any(len(part.encode()) > _PART_BYTES for part in parts):
        reason = f"it is longer than {_PATH_BYTES} bytes, or a part of it than {_PART_BYTES}"
    if reason:
        raise InvalidInput(f"{path[:80]!r} is no path on a storage: {reason}.", hint="Write it like folder/file.nc.")
    return path


def checked_options(
    kind: str,
    options: Mapping[str, str],
    known: Mapping[str, bool],
    secrets: tuple[str, ...],
    what: str = "storage",
) -> None:
    """Raise unless the options of a storage are known, complete, and give secrets by reference.

    Args:
        kind: Of storage, for messages.
        options: As declared.
        known: Whether each is required, by name.
        secrets: Those that must be ``env:NAME`` or ``file:PATH``.
        what: Has the options, for messages.

    Raises:
        ConfigInvalid: They are not.
    """
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known) or f"Known: {', '.join(known)}."
            raise ConfigInvalid(f"A {what} of the kind '{kind}' has no option '{name}'.", hint=hint)
    for name, required in known.items():
        if required and not options.get(name):
            raise ConfigInvalid(f"A {what} of the kind '{kind}' needs the option '{name}'.", hint=f"Add {name}=…")
    for name in secrets:
        if name in options and options[name].partition(":")[0] not in ("env", "file"):
            hint = f"Write {name}=env:VARIABLE or {name}=file:PATH: secrets are never stored."
            raise ConfigInvalid(f"The option '{name}' must say where the secret is, not what it is.", hint=hint)


def revealed(storage: str, reference: str) -> str:
    """Return the secret behind a reference, read anew each time so that a renewed one is used.

    Raises:
        ConfigInvalid: It is not there, is empty, or could not stand in a header.
    """
    try:
        found = secret(reference)
    except ConfigInvalid as error:
        raise ConfigInvalid(f"The token of storage '{storage}' is missing: {error.message}", hint=error.hint) from error
    if not found or not found.isascii() or not found.isprintable():
        raise ConfigInvalid(f"The token of storage '{storage}' ({reference}) is empty or no line of ASCII text.")
    return found


def staging_name(mark: str, path: str) -> str:
    """Return how the name of a temporary file begins that becomes `path`: what is left of it can be found again."""
    return f"{mark}{digest_bytes(path.encode())[:12]}-"


def missing(storage: str, path: str) -> NotFound:
    """Return the error for a file that is not there."""
    return NotFound(f"There is no file '{path}' on storage '{storage}'.", storage=storage, path=path)


def read_only(storage: str) -> Denied:
    """Return the error for writing where nothing can be written."""
    return Denied(f"Storage '{storage}' is only read.", hint="Name another with --storage.", storage=storage)


def cut_off(storage: str, path: str, wanted: int, found: int) -> StoreUnavailable:
    """Return the error for a body that ended early."""
    message = f"'{path}' on storage '{storage}' ended early: {found} of {wanted} bytes came."
    return StoreUnavailable(message, hint="Try again; then: gemel data verify.", storage=storage, path=path)


def changed(storage: str, path: str) -> StoreUnavailable:
    """Return the error for a file that was replaced while it was read."""
    message = f"'{path}' on storage '{storage}' was replaced while it was read."
    return StoreUnavailable(message, hint="Read it again.", storage=storage, path=path)

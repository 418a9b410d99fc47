"""WebDAV (RFC 4918) with a bearer token, as XRootD, dCache, StoRM and rclone speak it."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast
from urllib.parse import quote, unquote, urlsplit

from gemel.base.errors import ConfigInvalid, Denied, GemelError, InvalidInput, NotFound, StoreUnavailable
from gemel.infra.lake.storages._http import HttpStorage, instant
from gemel.infra.lake.storages._local import translated
from gemel.infra.lake.storages._storage import (
    PIECE,
    Entry,
    Readable,
    TokenSource,
    checked_path,
    cut_off,
    missing,
    staging_name,
)

_STAGING = ".uploading-"
_COPIES = {"both": ("pull", "push"), "pull": ("pull",), "push": ("push",), "no": ()}
_ANSWER_BYTES = 64 << 20  # of one folder's list: some hundred thousand entries
_WANTED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)


class WebdavStorage(HttpStorage):
    """A folder of a WebDAV server.

    Args:
        name: As declared.
        options: Those of `HttpStorage`; `copies`, what third-party copies the server makes (`both`, the default, tries
            and finds out; `pull`, `push`, `no`); `fts`, the address of a File Transfer Service to be asked for copies to
            here, and `fts_token`, a reference to its bearer token.

    Attributes:
        copies: Directions of third-party copies that may be asked of the server.
        fts: Address of the File Transfer Service and the reference to its token, where one is declared.
    """

    kind = "webdav"
    writable = True
    known: ClassVar[dict[str, bool]] = HttpStorage.known | {"copies": False, "fts": False, "fts_token": False}
    secrets: ClassVar[tuple[str, ...]] = (*HttpStorage.secrets, "fts_token")

    def __init__(self, name: str, options: Mapping[str, str], tokens: TokenSource | None = None) -> None:
        super().__init__(name, options, tokens)
        asked = options.get("copies", "both")
        if asked not in _COPIES:
            raise ConfigInvalid(f"copies={asked} is not one of {', '.join(_COPIES)}.", hint="Leave it out to find out.")
        self.copies = _COPIES[asked]
        self.fts = (options["fts"].rstrip("/"), options.get("fts_token")) if "fts" in options else None

    def stat(self, path: str) -> Entry:
        """Return what is known of a file."""
        for entry, folder in self._properties(self.url(path), path, "0"):
            if not folder:
                return Entry(path, entry.size, entry.modified, entry.version)
        raise missing(self.name, path)

    def write(self, path: str, stream: Readable, size: int | None = None) -> int:
        """Return how many bytes were written: put under another name, counted there, and moved into place."""
        if size is None:
            # XRootD takes no upload whose length it is not told (status 400).
            with tempfile.TemporaryFile() as spool, translated("temporary files", path):
                shutil.copyfileobj(stream, spool, PIECE)
                size = spool.tell()
                spool.seek(0)
                return self.write(path, spool, size)
        pieces = _Pieces(stream)
        with self.staged(path) as staging:
            with self.ask("PUT", staging, content=pieces, headers={"Content-Length": str(size)}):
                pass
            there = self.stat(staging).size
            if there != pieces.sent:
                raise cut_off(self.name, path, pieces.sent, there)
        return pieces.sent

    @contextlib.contextmanager
    def staged(self, path: str) -> Iterator[str]:
        """Yield the name under which to put what then becomes `path`; when the block fails, it is removed."""
        self.url(path)
        folder = path.rpartition("/")[0]
        staging = f"{folder}/" * bool(folder) + staging_name(_STAGING, path) + secrets.token_hex(6)
        self._make_folders(path)
        try:
            yield staging
            self._put_in_place(staging, path)
        except BaseException:
            with contextlib.suppress(GemelError), self.ask("DELETE", staging):
                pass
            raise

    def delete(self, path: str) -> None:
        """Remove a file, or what a killed process was writing under its name."""
        try:
            self.stat(path)
        except NotFound:
            self._sweep(path)
            raise
        with self.ask("DELETE", path):
            pass

    def _sweep(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        address = f"{self._base}/{quote(folder)}/" if folder else f"{self._base}/"
        with contextlib.suppress(NotFound):
            for entry, _ in self._properties(address, folder or "/", "1"):
                if entry.path.rpartition("/")[2].startswith(staging_name(_STAGING, path)):
                    with self.ask("DELETE", entry.path):
                        pass

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield all files below a folder."""
        top = prefix.rstrip("/")
        address = f"{self._base}/{quote(checked_path(top))}/" if top else f"{self._base}/"
        try:
            found = list(self._properties(address, top or "/", "1"))
        except NotFound:
            return
        for entry, folder in found:
            # The folder itself is listed too, and a server's word is no reason to leave it or to go round.
            if entry.path == top or not entry.path.startswith(f"{top}/" if top else ""):
                continue
            if folder:
                yield from self.list(entry.path)
            elif not entry.path.rpartition("/")[2].startswith(_STAGING):
                yield entry

    def _put_in_place(self, staging: str, path: str) -> None:
        self._move(staging, self.url(path))
        literal = quote(path)
        # XRootD 5.5 takes the escapes of a destination for part of the name, and cuts a bare one at a blank.
        if literal != path and self.exists(literal):
            self.delete(literal)
            hint = "Use letters from a to z, digits, '.', '_' and '-'."
            raise InvalidInput(f"The server of storage '{self.name}' cannot take the name '{path}'.", hint=hint)

    def _move(self, path: str, destination: str) -> None:
        with self.ask("MOVE", path, headers={"Destination": destination, "Overwrite": "T"}):
            pass

    def _make_folders(self, path: str) -> None:
        parts = checked_path(path).split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            # A folder that is there is refused in several ways; the PUT that follows tells what is really wrong.
            with contextlib.suppress(Denied, StoreUnavailable), self.ask("MKCOL", folder):
                pass

    def _properties(self, address: str, path: str, depth: str) -> Sequence[tuple[Entry, bool]]:
        headers = {"Depth": depth, "Content-Type": "application/xml; charset=utf-8"}
        with self.ask("PROPFIND", path, headers=headers, content=_WANTED, url=address) as answer:
            body = bytearray()
            for piece in answer.iter_bytes(PIECE):
                body += piece
                if len(body) > _ANSWER_BYTES:
                    raise StoreUnavailable(f"Storage '{self.name}' lists too much at '{path}'.", storage=self.name)
        try:
            root = ET.fromstring(bytes(body))
        except ET.ParseError as error:
            raise StoreUnavailable(f"Storage '{self.name}' answers no WebDAV at '{path}'.", hint=str(error)) from error
        base = unquote(urlsplit(self._base).path).rstrip("/")
        found = [_entry(item, base) for item in root.iter("{DAV:}response")]
        return [item for item in found if item is not None]


def _entry(response: ET.Element, base: str) -> tuple[Entry, bool] | None:
    place = unquote(urlsplit(response.findtext("{DAV:}href", "").strip()).path)
    # XRootD doubles slashes in what it lists.
    place = "/" + "/".join(part for part in place.split("/") if part)
    if place != base and not place.startswith(f"{base}/"):
        return None
    folder = response.find(".//{DAV:}resourcetype/{DAV:}collection") is not None or (
        response.findtext(".//{DAV:}iscollection", "0").strip() == "1"
    )
    size = response.findtext(".//{DAV:}getcontentlength", "0").strip()
    modified = instant(response.findtext(".//{DAV:}getlastmodified"))
    version = response.findtext(".//{DAV:}getetag")
    path = place[len(base) :].strip("/")
    return Entry(path, int(size) if size.isdigit() else 0, modified, version), folder


class _Pieces:
    """The pieces of a stream, counted; from the beginning once more where the stream can go back."""

    def __init__(self, stream: Readable) -> None:
        self._stream = cast(Any, stream)
        seekable = getattr(stream, "seekable", None)
        self._start = self._stream.tell() if seekable and seekable() else None
        self.sent = 0

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._stream.read(PIECE):
            self.sent += len(piece)
            yield piece

    def again(self) -> bool:
        """Return whether the stream is at its beginning again."""
        if self._start is None:
            return False
        self._stream.seek(self._start)
        self.sent = 0
        return True

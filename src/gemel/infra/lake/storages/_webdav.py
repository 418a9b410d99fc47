"""WebDAV (RFC 4918) with a bearer token, as XRootD, dCache, StoRM and rclone speak it."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from urllib.parse import quote, unquote, urlsplit

from gemel.base.errors import Denied, GemelError, InvalidInput, NotFound, StoreUnavailable
from gemel.infra.lake.storages._http import HttpStorage, instant
from gemel.infra.lake.storages._local import translated
from gemel.infra.lake.storages._storage import PIECE, Entry, Readable, checked_path, cut_off, missing, staging_name

_STAGING = ".uploading-"
_ANSWER_BYTES = 64 << 20  # of one folder's list: some hundred thousand entries
_WANTED = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>"
)


class WebdavStorage(HttpStorage):
    """A folder of a WebDAV server; options as those of `HttpStorage`."""

    kind = "webdav"
    writable = True

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
        self.url(path)
        folder = path.rpartition("/")[0]
        staging = f"{folder}/" * bool(folder) + staging_name(_STAGING, path) + secrets.token_hex(6)
        self._make_folders(path)
        counted = [0]
        try:
            with self._ask("PUT", staging, content=_pieces(stream, counted), headers={"Content-Length": str(size)}):
                pass
            there = self.stat(staging).size
            if there != counted[0]:
                raise cut_off(self.name, path, counted[0], there)
            self._put_in_place(staging, path)
        except BaseException:
            with contextlib.suppress(GemelError), self._ask("DELETE", staging):
                pass
            raise
        return counted[0]

    def delete(self, path: str) -> None:
        """Remove a file, or what a killed process was writing under its name."""
        try:
            self.stat(path)
        except NotFound:
            self._sweep(path)
            raise
        with self._ask("DELETE", path):
            pass

    def _sweep(self, path: str) -> None:
        folder = path.rpartition("/")[0]
        address = f"{self._base}/{quote(folder)}/" if folder else f"{self._base}/"
        with contextlib.suppress(NotFound):
            for entry, _ in self._properties(address, folder or "/", "1"):
                if entry.path.rpartition("/")[2].startswith(staging_name(_STAGING, path)):
                    with self._ask("DELETE", entry.path):
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
        with self._ask("MOVE", path, headers={"Destination": destination, "Overwrite": "T"}):
            pass

    def _make_folders(self, path: str) -> None:
        parts = checked_path(path).split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            # A folder that is there is refused in several ways; the PUT that follows tells what is really wrong.
            with contextlib.suppress(Denied, StoreUnavailable), self._ask("MKCOL", folder):
                pass

    def _properties(self, address: str, path: str, depth: str) -> Sequence[tuple[Entry, bool]]:
        headers = {"Depth": depth, "Content-Type": "application/xml; charset=utf-8"}
        with self._ask("PROPFIND", path, headers=headers, content=_WANTED, url=address) as answer:
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


def _pieces(stream: Readable, counted: list[int]) -> Iterator[bytes]:
    while piece := stream.read(PIECE):
        counted[0] += len(piece)
        yield piece

"""Files of the web kept beside the lake, by the digest of their address and of the version that the host names."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx2

from gemel.base.errors import StoreFull
from gemel.base.ids import digest_json
from gemel.infra.lake.web._client import Web

FILE_BYTES = 4 << 30  # of one file
_ALL_BYTES = 20 << 30  # of the whole cache; beyond it, what was not used for the longest time goes


class Cache:
    """A folder of downloaded files.

    Args:
        folder: Where they are kept.
        total: Bytes they may take together.
    """

    def __init__(self, folder: Path, total: int = _ALL_BYTES) -> None:
        self.folder = folder
        self._total = total

    def file(self, web: Web, address: str, limit: int = FILE_BYTES) -> Path:
        """Return the local copy of a file on the web, downloaded unless this version of it is there.

        Raises:
            InvalidInput: It is larger than `limit`; nothing is kept.
            NotFound: There is no such file.
            StoreUnavailable: The host cannot be reached.
            StoreFull: No space is left.
        """
        with web.stream("GET", address) as answer:
            path = self._path(address, answer)
            if path.exists() and _versioned(answer):
                os.utime(path)
                return path
            self._download(web, answer, path, limit)
        self._shrink(path)
        return path

    def _path(self, address: str, answer: httpx2.Response) -> Path:
        version = [answer.headers.get(name, "") for name in ("etag", "last-modified", "content-length")]
        # The name's end is kept: some readers look at it.
        suffix = "".join(PurePosixPath(urlsplit(address).path).suffixes[-2:])[-16:]
        return self.folder / (digest_json([address, version]) + suffix)

    def _download(self, web: Web, answer: httpx2.Response, path: Path, limit: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="downloading-", dir=self.folder)
        staging = Path(name)
        try:
            with os.fdopen(handle, "wb") as target:
                for piece in web.pieces(answer, limit):
                    _put(target.write, piece)
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)

    def _shrink(self, kept: Path) -> None:
        files = [item for item in self.folder.iterdir() if item.is_file() and item != kept]
        found = sorted((item.stat().st_mtime, item.stat().st_size, item) for item in files)
        excess = kept.stat().st_size + sum(size for _, size, _ in found) - self._total
        for _, size, item in found:
            if excess <= 0:
                return
            with contextlib.suppress(FileNotFoundError):
                item.unlink()
            excess -= size


def _put(write: object, piece: bytes) -> None:
    assert callable(write)
    try:
        write(piece)
    except OSError as error:
        raise StoreFull(
            f"A download cannot be kept: {error.strerror}.", hint="Free some space, then run again."
        ) from error


def _versioned(answer: httpx2.Response) -> bool:
    return bool(answer.headers.get("etag") or answer.headers.get("last-modified"))

"""Files of the web kept beside the lake, by the digest of their address and of the version that the host names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import httpx2

from gemel.base.errors import StoreFull
from gemel.base.ids import digest_json
from gemel.infra.lake._file_cache import FileCache
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
        self._files = FileCache(folder, total)

    def file(self, web: Web, address: str, limit: int = FILE_BYTES) -> Path:
        """Return the local copy of a file on the web, downloaded unless this version of it is there.

        Raises:
            InvalidInput: It is larger than `limit`; nothing is kept.
            NotFound: There is no such file.
            StoreUnavailable: The host cannot be reached.
            StoreFull: No space is left.
        """
        with web.stream("GET", address) as answer:
            version = [answer.headers.get(name, "") for name in ("etag", "last-modified", "content-length")]
            # The name's end is kept: some readers look at it.
            suffix = "".join(PurePosixPath(urlsplit(address).path).suffixes[-2:])[-16:]

            def fill(path: Path) -> None:
                with path.open("wb") as target:
                    for piece in web.pieces(answer, limit):
                        _put(target.write, piece)

            key = digest_json([address, version])
            return self._files.kept(key, f"file{suffix}", fill, renew=not _versioned(answer))


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

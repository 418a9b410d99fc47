"""Files kept under the SHA-256 digest of their bytes: written once, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gemel.base.errors import ResultCorrupt, StoreFull, StoreUnavailable
from gemel.base.ids import digest_bytes, digest_file

_STALE_SECONDS = 86400.0


class ContentStore:
    """A folder of files named by the digest of what they hold.

    >>> import tempfile
    >>> store = ContentStore(Path(tempfile.mkdtemp()))
    >>> store.path(store.put(b"rain")).read_bytes()
    b'rain'
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sweep()

    def path(self, digest: str) -> Path:
        """Return where the file with `digest` lies, whether or not it is there."""
        return self.folder / digest[:2] / digest

    def put(self, data: bytes) -> str:
        """Return the digest of `data` after it is safely on disk.

        Raises:
            StoreFull: No space is left; nothing was half-written.
        """
        digest = digest_bytes(data)
        if not self.path(digest).exists():
            with self.staged() as staging:
                staging.write_bytes(data)
                self._adopt(staging, digest)
        return digest

    def put_file(self, staging: Path) -> str:
        """Return the digest of a staged file after moving it into the store."""
        with _translated():
            digest = digest_file(staging)
            self._adopt(staging, digest)
        return digest

    @contextlib.contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield the path of a temporary file beside the store; whatever is left of it is removed afterwards."""
        with _translated():
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix="staging-", dir=self.folder)
            os.close(handle)
            try:
                yield Path(name)
            finally:
                Path(name).unlink(missing_ok=True)

    def verify(self, digest: str) -> Path:
        """Return the path of the file with `digest` after reading it whole and comparing.

        Raises:
            ResultCorrupt: The file is missing or its bytes changed; a changed file is removed.
        """
        path = self.path(digest)
        try:
            found = digest_file(path)
        except OSError as error:
            raise ResultCorrupt(f"The stored file {digest[:12]}… cannot be read: {error.strerror}.") from error
        if found != digest:
            path.unlink(missing_ok=True)
            raise ResultCorrupt(f"The stored file {digest[:12]}… does not match its digest.", digest=digest)
        return path

    def _sweep(self) -> None:
        # What a killed engine was writing; another engine may still be writing what is younger.
        for stale in self.folder.glob("staging-*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - stale.stat().st_mtime > _STALE_SECONDS:
                    stale.unlink()

    def _adopt(self, staging: Path, digest: str) -> None:
        target = self.path(digest)
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync(self.folder)
        _sync(staging)
        staging.replace(target)
        # The rename itself must reach the disk before the journal may speak of the file.
        _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, StoreFull):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Free some space or move GEMEL_HOME, then run again: finished steps are kept."
            raise StoreFull("No space is left where results are kept.", hint=hint) from error
        raise StoreUnavailable(f"Results cannot be kept: {error}.", hint="gemel doctor") from error

"""Reading a file of a storage whole, and what the system says of it in gemel's words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from gemel.base.errors import GemelError, StoreUnavailable
from gemel.infra.lake.storages import PIECE, Readable, Storage
from gemel.infra.lake.transport._hashing import Hashed, Progress, Seen


def read_whole(
    storage: Storage,
    path: str,
    expected: Mapping[str, str],
    size: int | None,
    progress: Progress | None = None,
    what: str = "the file",
) -> Seen:
    """Return what a file holds after it was read whole and agreed with what is expected.

    Raises:
        ResultCorrupt: It does not agree.
        NotFound: It is not there.
        StoreUnavailable: It cannot be read.
    """
    with opened(storage, path) as source, Hashed(source, expected, size, progress, what) as stream:
        while stream.read(PIECE):
            pass
        return stream.seen()


@contextlib.contextmanager
def opened(storage: Storage, path: str) -> Iterator[Readable]:
    """Yield a file of a storage for reading; what the system says of it is put in gemel's words."""
    with storage.open(path) as file, system_errors(storage.name):
        yield file


@contextlib.contextmanager
def system_errors(name: str) -> Iterator[None]:
    """Turn an error of the system while `name` is read into one of gemel."""
    try:
        yield
    except GemelError:
        raise
    except OSError as error:
        raise StoreUnavailable(f"'{name}' cannot be read: {error.strerror or error}.") from error

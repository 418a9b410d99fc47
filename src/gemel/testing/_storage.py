"""What every storage keeps: whole files under paths, ranges of them, and errors of one tree."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from gemel.base.errors import Denied, GemelError, InvalidInput, NotFound
from gemel.infra.lake.storages import Storage

_NAMES = ("plain.txt", "with blank.nc", "Überlauf µ.csv", "100%+&=#?.bin", "deep/er/still.dat")
_TRICKS = (
    "",
    "/etc/passwd",
    "../out",
    "a/../../out",
    "a//b",
    "a/./b",
    "a/",
    "nul\0l",
    "a\\b",
    "n" * 300,
    "a/" * 600 + "b",
)
_LARGE = 9_000_000  # bytes: more than one part of an upload, more than one range of a download


class StorageContract:
    """Suite for one storage; write `opened`, which returns it empty, and `put`, where it cannot write by itself.

    Attributes:
        names: Names of files that people use; fewer for a server that cannot take them all.
    """

    names: ClassVar[Sequence[str]] = _NAMES

    def opened(self) -> Storage:
        """Return the storage, with no file on it."""
        raise NotImplementedError

    def put(self, storage: Storage, path: str, content: bytes) -> None:
        """Bring a file onto the storage."""
        assert storage.write(path, io.BytesIO(content), len(content)) == len(content)

    def test_it_is_a_storage(self) -> None:
        """Check that it has all that the protocol asks for."""
        storage = self.opened()
        assert isinstance(storage, Storage)
        assert storage.name and storage.kind

    def test_what_was_put_is_there(self) -> None:
        """Check content, size and existence under names that people use, an empty file's too."""
        storage = self.opened()
        for number, name in enumerate(self.names):
            content = b"rain" * number
            self.put(storage, name, content)
            assert storage.exists(name), name
            assert storage.size(name) == len(content), name
            assert storage.open(name).read() == content, name
            assert storage.stat(name).path == name

    def test_ranges_are_those_of_the_file(self) -> None:
        """Check parts, seeking within them, and parts beyond the end."""
        storage, content = self.opened(), _noise(_LARGE)
        self.put(storage, "large.bin", content)
        with storage.open("large.bin") as file:
            assert file.read() == content
        with storage.open("large.bin", 1000, 5000) as part:
            assert part.read(10) == content[1000:1010]
            assert part.seek(-10, io.SEEK_END) == 4990
            assert part.read() == content[5990:6000]
            assert part.seek(0) == 0
            assert part.read() == content[1000:6000]
        with storage.open("large.bin", _LARGE - 3, 100) as part:
            assert part.read() == content[-3:]
        with storage.open("large.bin", _LARGE + 3) as part:
            assert part.read() == b""

    def test_what_is_not_there_is_not_found(self) -> None:
        """Check that a missing file is one error, and that a folder is no file."""
        storage = self.opened()
        self.put(storage, "folder/file.txt", b"x")
        assert not storage.exists("nothing")
        asked: list[Callable[[str], Any]] = [storage.stat, storage.size, storage.open]
        for ask in [*asked, *([storage.delete] if storage.writable else [])]:
            for path in ("nothing", "no/such/folder/file", "folder"):
                _raises(NotFound, ask, path)

    def test_paths_cannot_escape(self) -> None:
        """Check that tricks are refused wherever a path is taken."""
        storage = self.opened()
        asked: list[Callable[[str], Any]] = [storage.stat, storage.open, storage.url, storage.delete]
        for trick in _TRICKS:
            for ask in asked:
                _raises((InvalidInput, Denied), ask, trick)
            _raises((InvalidInput, Denied), lambda path: storage.write(path, io.BytesIO(b"x")), trick)

    def test_files_are_listed_below_folders(self) -> None:
        """Check that lists hold every file once, and only those below the folder."""
        storage = self.opened()
        if not storage.writable:
            return
        assert list(storage.list()) == []
        for path in ("a/1", "a/b/2", "a/b/c/3", "ab/4", "5"):
            self.put(storage, path, path.encode())
        found = {entry.path: entry.size for entry in storage.list()}
        assert found == {"a/1": 3, "a/b/2": 5, "a/b/c/3": 7, "ab/4": 4, "5": 1}
        assert sorted(entry.path for entry in storage.list("a")) == ["a/1", "a/b/2", "a/b/c/3"]
        assert sorted(entry.path for entry in storage.list("a/b/")) == ["a/b/2", "a/b/c/3"]
        assert list(storage.list("nowhere")) == []

    def test_writing_replaces_and_deleting_removes(self) -> None:
        """Check that a file is replaced whole, and gone when deleted."""
        storage = self.opened()
        if not storage.writable:
            _raises(Denied, lambda path: storage.write(path, io.BytesIO(b"x")), "file")
            _raises(Denied, storage.delete, "file")
            return
        self.put(storage, "file", b"longer than what follows")
        assert storage.write("file", io.BytesIO(b"short")) == 5
        assert storage.open("file").read() == b"short"
        storage.delete("file")
        assert not storage.exists("file")
        assert list(storage.list()) == []

    def test_a_stream_that_fails_leaves_nothing_and_loses_nothing(self) -> None:
        """Check that a broken write raises what the stream raised, and that what was there before stays."""
        storage = self.opened()
        if not storage.writable:
            return
        self.put(storage, "kept", b"as it was")
        for path in ("kept", "new"):
            error = _raises(GemelError, lambda path: storage.write(path, _Broken(_LARGE)), path)
            assert isinstance(error, _BrokenOff), error
        assert [entry.path for entry in storage.list()] == ["kept"]
        assert storage.open("kept").read() == b"as it was"

    def test_a_digest_that_is_told_is_right(self) -> None:
        """Check that a digest, when the storage knows it, is that of the content."""
        storage = self.opened()
        self.put(storage, "wikipedia", b"Wikipedia")
        # Adler-32 of this word is the example in the encyclopedia's article on it.
        assert storage.digest("wikipedia", "adler32") in (None, "11e60398")
        assert storage.digest("wikipedia", "no such algorithm") is None

    def test_addresses_hold_no_secrets(self) -> None:
        """Check that an address is one, and names the file."""
        scheme, _, rest = self.opened().url("folder/file.nc").partition("://")
        assert scheme.isalnum()
        assert rest.endswith("folder/file.nc")
        assert "@" not in rest


class _BrokenOff(GemelError):
    """Raised by a stream in the middle."""


class _Broken:
    """A stream that fails after `size` bytes."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        if self._left <= 0:
            raise _BrokenOff("The stream broke off.")
        part = min(size if size > 0 else self._left, self._left)
        self._left -= part
        return b"\1" * part


def _noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)


def _raises(kind: type[BaseException] | tuple[type[BaseException], ...], ask: Callable[[str], Any], path: str) -> Any:
    try:
        ask(path)
    except kind as error:
        return error
    raise AssertionError(f"{path[:80]!r} was taken")

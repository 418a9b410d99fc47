"""Every kind of storage passes the same suite, each over a real server."""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from gemel.base.errors import InvalidInput
from gemel.infra.lake.storages import HttpStorage, LocalStorage, S3Storage, Storage, Storages, WebdavStorage
from gemel.infra.lake.tokens import Broker
from gemel.infra.store import open_store, schema
from gemel.testing import StorageContract

_NUMBERS = itertools.count()


class TestLocal(StorageContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "data"

    def opened(self) -> Storage:
        return LocalStorage("here", {"folder": str(self.folder)})


class TestHttp(StorageContract):
    @pytest.fixture(autouse=True)
    def _place(self, site) -> None:
        self.site = site

    def opened(self) -> Storage:
        return HttpStorage("web", {"url": self.site.address})

    def put(self, storage: Storage, path: str, content: bytes) -> None:
        target = self.site.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


class TestWebdavOfRclone(StorageContract):
    @pytest.fixture(autouse=True)
    def _place(self, dav) -> None:
        self.server = dav

    def opened(self) -> Storage:
        folder = f"part {next(_NUMBERS)}"
        (self.server.folder / folder).mkdir()
        return WebdavStorage("dav", self.server.options | {"url": f"{self.server.url}/{folder.replace(' ', '%20')}"})


class TestWebdavOfXrootd(StorageContract):
    names = ("plain.txt", "deep/er/still.dat")

    @pytest.fixture(autouse=True)
    def _place(self, xrootd) -> None:
        self.server = xrootd

    def opened(self) -> Storage:
        return WebdavStorage("xrootd", self.server.options | {"url": f"{self.server.url}/part{next(_NUMBERS)}"})

    def test_a_name_that_it_would_mangle_is_refused_and_leaves_nothing(self) -> None:
        storage = self.opened()
        with pytest.raises(InvalidInput, match="cannot take the name"):
            storage.write("with blank.nc", io.BytesIO(b"x"), 1)
        assert list(storage.list()) == []


@pytest.mark.slow
class TestWebdavOfXrootdByProfile(StorageContract):
    """Over TLS, each request with a macaroon of its own for its folder and what it does there."""

    names = ("plain.txt", "deep/er/still.dat")

    @pytest.fixture(autouse=True)
    def _place(self, xrootd_pair, sqlite_url: str, home: Path) -> Iterator[None]:
        self.site = xrootd_pair.a
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(contextlib.closing(open_store(sqlite_url)))
            broker = stack.enter_context(contextlib.closing(Broker(store, schema.metadata.tables, home)))
            broker.add("site-a", "macaroon", self.site.profile)
            self.storages = Storages(store, schema.metadata.tables, home, broker)
            stack.callback(self.storages.close)
            yield

    def opened(self) -> Storage:
        number = next(_NUMBERS)
        # A folder of certificates is as good as a file of them.
        trust = self.site.authority.folder if number % 2 else self.site.authority.file
        options = {"url": f"{self.site.url}/part{number}", "profile": "site-a", "ca": str(trust)}
        self.storages.add(f"part{number}", "webdav", options)
        return self.storages.get(f"part{number}")


class TestS3(StorageContract):
    @pytest.fixture(autouse=True)
    def _place(self, s3) -> None:
        self.server = s3

    def opened(self) -> Storage:
        return S3Storage("bucket", self.server.options | {"prefix": f"part{next(_NUMBERS)}"})

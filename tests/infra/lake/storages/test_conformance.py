"""Every kind of storage passes the same suite, each over a real server."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest

from gemel.base.errors import InvalidInput
from gemel.infra.lake.storages import HttpStorage, LocalStorage, S3Storage, Storage, WebdavStorage
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


class TestS3(StorageContract):
    @pytest.fixture(autouse=True)
    def _place(self, s3) -> None:
        self.server = s3

    def opened(self) -> Storage:
        return S3Storage("bucket", self.server.options | {"prefix": f"part{next(_NUMBERS)}"})

"""A storage behind an agent is a storage like any other: the suite, with a real agent process and a real server."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pytest
from agent_stage import fielded

from gemel.infra.lake.storages import Storage
from gemel.testing import StorageContract

pytestmark = pytest.mark.slow
_NUMBERS = itertools.count(1)


class TestAgent(StorageContract):
    @pytest.fixture(autouse=True)
    def _site(self, served, tmp_path: Path):
        with fielded(served, f"contract{next(_NUMBERS)}", tmp_path) as self.site:
            self.site.agent()
            yield

    def opened(self) -> Storage:
        return self.site.storage

    def test_a_file_of_many_ranges_comes_whole_and_large_ones_go_whole(self) -> None:
        content = bytes(range(256)) * 120_000
        assert self.site.storage.write("large.bin", io.BytesIO(content), None) == len(content)
        assert (self.site.folder / "large.bin").read_bytes() == content
        with self.site.storage.open("large.bin") as file:
            assert file.read() == content

    def test_all_digests_are_those_of_the_content(self) -> None:
        storage = self.opened()
        # RFC 1321, section A.5, and FIPS 180-2, appendix B.1: the digests of "abc".
        storage.write("letters", io.BytesIO(b"abc"))
        assert storage.digest("letters", "md5") == "900150983cd24fb0d6963f7d28e17f72"
        assert str(storage.digest("letters", "sha256")).startswith("ba7816bf8f01cfea414140de5dae2223")
        # Another file under the same name has its own.
        storage.write("letters", io.BytesIO(b""))
        assert storage.digest("letters", "md5") == "d41d8cd98f00b204e9800998ecf8427e"

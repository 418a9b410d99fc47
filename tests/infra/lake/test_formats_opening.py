"""Files of every format are opened out of storages, by ranges where format and storage allow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from gemel.base.errors import InvalidInput
from gemel.infra.lake.datasets._names import Name
from gemel.infra.lake.datasets._opening import open_replica
from gemel.infra.lake.datasets._records import Record, Replica
from gemel.infra.lake.storages import HttpStorage, LocalStorage

_MANY = 500_000  # numbers in a file of which few are read


def opened(site: Any, name: str, **options: Any) -> tuple[Any, int]:
    """Return what a file of the site holds, and a function's worth of bytes that were asked of it to open it."""
    storage = HttpStorage("web", {"url": site.address})
    record = Record(Name.parse(f"test:{name}"), "file", "unverified")
    site.requests.clear()

    def fetch(record: Record, replica: Replica) -> Path:
        raise AssertionError("it was fetched whole")

    found = open_replica(storage, record, Replica("r-1", record.name, "web", name, "here"), options, fetch)
    return found, asked(site)


def asked(site: Any) -> int:
    """Return the bytes of all ranges that were asked for."""
    parts = [item[2].removeprefix("bytes=").split("-") for item in site.requests if item[0] == "GET" and item[2]]
    assert all(item[2] for item in site.requests if item[0] == "GET")
    return sum(int(last) - int(first) + 1 for first, last in parts)


def test_hdf5_behind_http_is_read_by_ranges(site: Any) -> None:
    values = np.random.default_rng(3).random((10, _MANY // 10))
    with h5py.File(site.folder / "a.h5", "w") as file:
        file.create_dataset("run/hits", data=values, chunks=(1, _MANY // 10))
    found, _ = opened(site, "a.h5")
    np.testing.assert_array_equal(found["run/hits"][7].values, values[7])
    assert asked(site) < values.nbytes / 2
    assert opened(site, "a.h5", group="run")[0]["hits"].shape == values.shape


def test_a_column_of_root_behind_http_is_read_by_ranges(site: Any) -> None:
    uproot = pytest.importorskip("uproot", reason="the extra [data] is not installed")
    noise = np.random.default_rng(3)
    with uproot.recreate(site.folder / "a.root") as file:
        file["t"] = {name: noise.random(_MANY) for name in "abcd"}
    found, size = opened(site, "a.root", variables=["c"])
    assert len(found) == _MANY and list(found.columns) == ["c"]
    assert size < (site.folder / "a.root").stat().st_size / 2


def test_a_format_can_be_named_where_content_tells_none(tmp_path: Path) -> None:
    storage = LocalStorage("here", {"folder": str(tmp_path)})
    (tmp_path / "a.unknown").write_bytes(os.urandom(1) + bytes(7))
    record = Record(Name.parse("test:a.unknown"), "file", "verified")
    replica = Replica("r-1", record.name, "here", "a.unknown", "here")

    def fetch(record: Record, replica: Replica) -> Path:
        raise AssertionError("it lies here")

    with pytest.raises(InvalidInput, match=r"format of 'test:a\.unknown' is not known") as caught:
        open_replica(storage, record, replica, {}, fetch)
    assert 'option "format"' in str(caught.value.hint)
    found = open_replica(storage, record, replica, {"format": "binary", "dtype": "u1"}, fetch)
    assert found.shape == (8,)
    with pytest.raises(InvalidInput, match="no such format"):
        open_replica(storage, record, replica, {"format": "binery"}, fetch)

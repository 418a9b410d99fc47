"""What the data service adds to the lake: descriptions of what files hold, and work on all replicas told as one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gemel.base.config import load_settings
from gemel.base.errors import ResultCorrupt, StoreUnavailable
from gemel.core.engine import DataService, Engine, open_engine, progress_of
from gemel.core.engine._data_describing import described


@pytest.fixture
def engine(home: Path) -> Iterator[Engine]:
    with open_engine(load_settings(home=home)) as opened:
        opened.storages.add("archive", "local", {"folder": str(home / "archive")})
        yield opened


@pytest.fixture
def data(engine: Engine) -> DataService:
    return DataService(engine)


def test_a_cube_is_described_without_its_values():
    times = np.array(["2001-01-01", "2001-01-02"], "datetime64[ns]")
    rain = xr.DataArray(
        np.full((2, 3), np.nan), {"time": times, "x": ("x", [1.0, 2.0, 3.0], {"units": "km"})}, ("time", "x")
    )
    cube = xr.Dataset({"rain": rain.assign_attrs(units="mm")})
    found = described(cube, rows=1)
    assert found["dimensions"] == {
        "time": {"size": 2, "first": "2001-01-01T00:00:00", "last": "2001-01-02T00:00:00"},
        "x": {"size": 3, "first": 1.0, "last": 3.0, "unit": "km"},
    }
    assert found["variables"] == [{"name": "rain", "dimensions": ["time", "x"], "type": "float64", "unit": "mm"}]
    assert found["preview"] == {"variable": "rain", "values": [[None]]}, "JSON has no word for NaN"
    assert "preview" not in described(cube)


def test_tables_and_plain_values_are_described():
    table = pd.DataFrame({"day": pd.to_datetime(["2001-01-01"]), "flow": [np.inf], "place": [object()]})
    found = described(table, rows=5)
    assert found["rows"] == 1 and [item["name"] for item in found["columns"]] == ["day", "flow", "place"]
    assert found["preview"][0]["day"].startswith("2001-01-01") and found["preview"][0]["flow"] is None
    assert described({"type": "Feature", "id": 1})["members"] == ["type", "id"]
    assert described([1, 2, 3])["size"] == 3 and described(b"abc")["size"] == 3
    assert (
        len(described("x" * 10**6)["text"]) < 10_000 and len(described({"a": ["b" * 10**6] * 10**4})["text"]) < 10_000
    )
    assert described(xr.DataArray(5.0))["dimensions"] == {}
    assert described(xr.Dataset())["variables"] == []


def test_a_stream_that_fails_leaves_nothing(data, home):
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise StoreUnavailable("The line is cut.")
            return super().read(10)

    with pytest.raises(StoreUnavailable, match="cut"):
        data.receive(Breaking(b"x" * 100), "broken:a")
    assert data.find() == [] and not [path for path in (home / "data").rglob("*") if path.is_file()]
    with pytest.raises(ResultCorrupt):
        data.receive(io.BytesIO(b"rain"), "broken:a", size=5)
    assert data.receive(io.BytesIO(b"rain"), "broken:a", size=4)["size"] == 4


def test_bytes_of_all_replicas_are_told_as_one_sum(data, tmp_path):
    for number in range(2):
        (tmp_path / f"{number}.bin").write_bytes(bytes(600_000))
        data.put(tmp_path / f"{number}.bin", f"sum:{number}")
    moving = data.moving.request(["sum:0", "sum:1"], "archive")
    data.moving.work([item["id"] for item in moving])
    heard: list[dict] = []
    assert data.verify(told=heard.append)["passed"]
    sums = [item["bytes"] for item in heard]
    assert sums == sorted(sums) and sums[-1] == 4 * 600_000
    assert [item["files"] for item in heard] == sorted(item["files"] for item in heard) and heard[-1]["of"] == 2


def test_the_end_of_a_damaged_file_is_held_back(data, home, tmp_path):
    content = np.random.default_rng(1).bytes(700_000)
    (tmp_path / "a.bin").write_bytes(content)
    record = data.put(tmp_path / "a.bin", "damaged:a")
    path = home / "data" / record["replicas"][0]["path"]
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    stream = data.file("damaged:a").open()
    came = 0
    with pytest.raises(ResultCorrupt):
        while piece := stream.read():
            came += len(piece)
    stream.close()
    assert came < len(content)
    assert data.get("damaged:a")["replicas"][0]["state"] == "bad"
    assert [item["type"] for item in data.changes(name="damaged:a")] == ["new", "lost"]


def test_the_last_whole_copy_stays_whoever_drops_others(data, engine, tmp_path):
    """Two who make room on two storages at once see two copies each; only one of them may go."""
    (tmp_path / "a.bin").write_bytes(b"rain")
    for number in range(20):
        data.put(tmp_path / "a.bin", f"last:{number}")
    asked = data.moving.request([f"last:{number}" for number in range(20)], "archive")
    data.moving.work([item["id"] for item in asked])
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(data.keeping.reclaim, ("home", "archive")))
    assert sum(len(found) for found in both) == 20
    for item in data.find():
        (replica,) = item["replicas"]
        assert engine.storages.get(replica["storage"]).exists(replica["path"])
    record = engine.datasets.get("last:0")
    assert engine.datasets.drop(record.name, record.replicas[0]) is False


def test_progress_of_transfers_is_theirs_together():
    base = {"size": 10, "moved": 4, "error": None, "name": "a:b", "attempts": 2}
    waiting = base | {"state": "queued", "moved": 0, "error": {"message": "The storage is away."}}
    found = progress_of([base | {"state": "running"}, base | {"state": "done", "moved": 0}, waiting])
    assert (found["bytes"], found["size"], found["files"], found["of"]) == (14, 30, 1, 3)
    assert found["note"] == "'a:b' is tried again (attempt 2): The storage is away."
    assert progress_of([base | {"state": "failed", "size": None}])["size"] is None

"""`gemel run graph.json --save`: the files of a result lie beside the STAC Item that describes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import xarray as xr
from workbench import chain, load, weather

from gemel.infra.lake.collections import Collections
from stage import gemel

pytest.importorskip("rasterio", reason="the extra [data] is not installed")


@pytest.mark.slow
def test_the_files_of_a_result_are_copied_and_named(home: Path, tmp_path: Path) -> None:
    Collections(home).add_dataset("weather", weather(3))
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps(chain(load("weather"), ("save_result", {"format": "netCDF"}))))
    ended = gemel("run", str(graph), "--save", "out", "--json", home=home, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["saved"] == ["out/result.stac.json", "out/result.nc"]
    item = json.loads((tmp_path / "out" / "result.stac.json").read_text())
    (asset,) = item["assets"].values()
    content = (tmp_path / "out" / asset["href"]).read_bytes()
    assert asset["gemel:digest"] == hashlib.sha256(content).hexdigest()
    with xr.open_dataset(tmp_path / "out" / "result.nc", engine="h5netcdf") as saved:
        xr.testing.assert_allclose(saved.t2m.load(), weather(3), rtol=0)
    # Again, for people: nothing is computed anew, and each path is told.
    told = gemel("run", str(graph), "--save", "again", home=home, cwd=tmp_path).stdout
    assert "reused" in told and "Saved again/result.nc" in told
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["result.nc", "result.stac.json"]

"""Every output of a run is an Item: with digest, licence and provenance, and its file can be had."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx2
import numpy as np
import pandas as pd
import pystac
import pytest
import xarray as xr
from stac_stage import speaking

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from gemel.core.graph import Graph
from gemel.infra.lake._axes import parsed_crs, with_grid
from stage import serving


def cube() -> xr.DataArray:
    """Return a synthetic cube of three days over a box in Hesse."""
    coords = {
        "t": pd.date_range("2020-01-01", periods=3),
        "y": 51.0 - 0.1 * np.arange(4),
        "x": 9.0 + 0.1 * np.arange(5),
    }
    made = xr.DataArray(np.ones((3, 4, 5), "float32"), coords, ("t", "y", "x"), name="rain", attrs={"units": "mm d-1"})
    return with_grid(made, parsed_crs(4326))


@pytest.fixture
def ran(tmp_path: Path):
    """Yield an engine that ran a graph with a saved and a plain output, its client, and the run."""
    home = tmp_path / "home"
    with open_engine(load_settings(home=home, environ={}, folder=tmp_path)) as engine:
        (home / "workspace").mkdir(parents=True, exist_ok=True)
        cube().to_netcdf(home / "workspace" / "rain.nc", engine="h5netcdf")
        nodes = {
            "load": {
                "process_id": "load_uploaded_files",
                "arguments": {"paths": ["rain.nc"], "format": "netCDF"},
            },
            "save": {
                "process_id": "save_result",
                "arguments": {"data": {"from_node": "load"}, "format": "netCDF"},
                "result": True,
            },
        }
        graph = Graph.from_json({"process_graph": nodes, "outputs": {"cube": "load", "file": "save"}})
        run = engine.runs.wait(engine.start_graph(graph), 60)
        assert run.state == "finished", run.error
        with serving(Service(engine)) as served, speaking(served) as client:
            yield engine, client, run


def test_outputs_are_items_with_digest_licence_and_provenance(ran):
    _, client, run = ran
    found = client.get("/search", params={"collections": "results", "bbox": "9,50.5,9.5,51"}).json()
    items = {item["properties"]["gemel:output"]: item for item in found["features"]}
    assert items.keys() == {"cube", "file"}
    for item in items.values():
        read = pystac.Item.from_dict(item)
        assert read.datetime is not None or read.common_metadata.start_datetime is not None
        assert item["properties"]["gemel:run"] == run.id and item["properties"]["license"] == "other"
        assert item["properties"]["start_datetime"] == "2020-01-01T00:00:00Z"
        links = {link["rel"]: link["href"] for link in item["links"]}
        provenance = client.get(links["http://www.w3.org/ns/prov#has_provenance"])
        assert provenance.status_code == 200 and provenance.json()["run"] == run.id
        for asset in item["assets"].values():
            content = client.get(asset["href"])
            assert content.status_code == 200 and len(content.content) == asset["file:size"]
            assert asset["file:checksum"] == "1220" + hashlib.sha256(content.content).hexdigest()
            part = httpx2.Headers(content.headers)
            assert part["etag"].strip('"') == asset["file:checksum"][4:]


def test_what_is_no_longer_kept_is_no_longer_listed(ran):
    engine, client, run = ran
    assert len(client.get("/collections/results/items").json()["features"]) == 2
    engine.runs.drop_results(run.id, ())
    assert client.get("/collections/results/items").json()["features"] == []


def test_files_that_an_output_does_not_have_are_not_found(ran):
    _, client, run = ran
    for path in ("outputs/nothing/stored", "outputs/file/files/nothing", "outputs/cube/files/x"):
        address = str(client.base_url).replace("/stac", "/api/v1").rstrip("/")
        assert client.get(f"{address}/runs/{run.id}/{path}").status_code == 404

"""The official Python client does a whole session: connect, discover, build a graph, run it both ways, download."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr
from openeo_stage import COLLECTION, outside, soil_moisture

from stage import Serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("openeo-suite")]


@pytest.fixture(scope="module")
def session(served: Serving, suite_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("session")
    return outside(suite_python, "client_session.py", served.url, served.token, str(folder)) | {"folder": folder}


def test_it_discovers_the_engine(session: dict) -> None:
    assert session["version"] == "1.2.0" and session["missing"] == []
    assert session["collections"] == [COLLECTION] and set(session["dimensions"]) >= {"t", "bands", "x", "y"}
    assert session["processes"] > 100 and {"netCDF", "GTiff", "JSON"} <= set(session["formats"])
    assert session["service_types"] == ["XYZ"] and session["me"] == "owner"


def test_it_validates_before_anything_runs(session: dict) -> None:
    assert session["findings"] == [] and session["wrong"] == ["ProcessUnsupported"]


def test_a_result_and_a_job_give_the_same_file(session: dict) -> None:
    assert session["direct"] > 0 and session["created"] == "created" and session["status"] == "finished"
    assert "costs" in session["estimate"] and session["item"]["type"] == "Feature"
    (name,) = session["downloaded"]
    assert session["same"] == [True]
    expected = soil_moisture().sel(t=slice("2020-01-01", "2020-06-30")).mean("t")
    with xr.open_dataset(session["folder"] / name, engine="h5netcdf") as opened:
        found = opened["B01"]
        nearest = expected.isel(bands=0).sel(x=found["x"], y=found["y"], method="nearest")
        # Six months from January on: the mean of 0..5 months of drying; float32 carries seven digits.
        assert abs(found.squeeze().values - nearest.values).max() < 1e-4


def test_it_stores_processes_and_files(session: dict) -> None:
    assert session["stored"] == ["doubled"] and session["six"] == 6
    assert session["files"] == ["notes/note.txt"] and session["back"] == "soil"


def test_it_serves_a_map_to_whoever_has_the_address(session: dict) -> None:
    assert session["service"] == {"type": "XYZ", "enabled": True, "title": "Tiles"}
    assert session["tile"] == [200, "image/png", "89504e470d0a1a0a"]


def test_nothing_is_left_of_a_deleted_job(session: dict) -> None:
    assert session["left"] == 0

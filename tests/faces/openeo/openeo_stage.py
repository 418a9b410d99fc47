"""What the tests of the openEO face share: the synthetic collection, clients, scripts run in the suite's environment."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import pyproj
import xarray as xr

from gemel.infra.lake.collections import Collections
from stage import PATIENCE, Serving, until

ROOT = Path(__file__).parents[3]
OUTSIDE = Path(__file__).with_name("outside")
PREFIX = "/openeo/1.2"
COLLECTION = "CGLS_SSM_1KM"  # what the suite's payloads ask for
PROVIDER = "server.oidc=test=https://idp.example.org/realm"


def soil_moisture() -> xr.DataArray:
    """Return a synthetic cube: a plane that dries month by month, so that every mean has a closed form."""
    times = pd.date_range("2020-01-01", periods=12, freq="MS")
    y, x = np.linspace(48.30, 48.08, 23), np.linspace(16.18, 16.58, 41)
    month, row, column = np.meshgrid(np.arange(12), np.arange(23), np.arange(41), indexing="ij")
    values = (60.0 - month + 0.1 * row + 0.01 * column)[:, None].astype("float32")
    cube = xr.DataArray(
        values,
        dims=("t", "bands", "y", "x"),
        coords={"t": times, "bands": ["B01"], "y": ("y", y, {"axis": "Y"}), "x": ("x", x, {"axis": "X"})},
        attrs={"units": "percent", "long_name": "synthetic surface soil moisture"},
    )
    return cube.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": pyproj.CRS.from_epsg(4326).to_wkt()}))


def furnish(home: Path) -> None:
    """Put the synthetic collection into an engine's lake."""
    described = {"title": "Synthetic soil moisture", "description": "Made by gemel's tests.", "license": "CC0-1.0"}
    Collections(home).add_dataset(COLLECTION, soil_moisture(), **described)


def speaking(served: Serving, *, signed_in: bool = True) -> httpx2.Client:
    """Return a client of the API."""
    shown = {"Authorization": f"Bearer basic//{served.token}"} if signed_in else {}
    return httpx2.Client(base_url=f"{served.url}{PREFIX}", headers=shown, timeout=PATIENCE)


def outside(python: Path, script: str, *arguments: str, told: Any = None) -> Any:
    """Return what a script prints as JSON that runs in the suite's environment."""
    command = [str(python), "-W", "ignore", str(OUTSIDE / script), *arguments]
    text = None if told is None else json.dumps(told)
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=5 * PATIENCE)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.strip().splitlines()[-1])


SUM = {"process_graph": {"a": {"process_id": "add", "arguments": {"x": 1, "y": 2}, "result": True}}}
# A process of another distribution that waits for a file and counts how often it was begun.
PATIENT = '''
import threading
from pathlib import Path
from gemel.core.graph import process, progress

@process
def patient(gate: str, value: float) -> float:
    """The value, as soon as there is a file."""
    with Path(gate + ".begun").open("a") as stream:
        stream.write("x")
    while not Path(gate).exists():
        progress(0.5, "waiting")
        threading.Event().wait(0.01)
    return value

Plugin = patient
'''


def waiting(gate: Path, value: float = 1.0) -> dict[str, Any]:
    """Return a process whose second step waits for the file `gate`."""
    steps = {
        "first": {"process_id": "add", "arguments": {"x": value, "y": 1}},
        "wait": {"process_id": "patient", "arguments": {"gate": str(gate), "value": {"from_node": "first"}}},
        "last": {"process_id": "add", "arguments": {"x": {"from_node": "wait"}, "y": 1}, "result": True},
    }
    return {"process_graph": steps}


def begun(gate: Path) -> int:
    """Return how often the waiting step of a process was begun."""
    count = Path(f"{gate}.begun")
    return len(count.read_text()) if count.exists() else 0


def new_job(api: httpx2.Client, process: dict[str, Any], **more: Any) -> str:
    """Return the id of a new job."""
    answer = api.post("/jobs", json={"process": process, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"].endswith(f"/jobs/{answer.headers['openeo-identifier']}")
    return str(answer.headers["openeo-identifier"])


def status(api: httpx2.Client, job: str) -> str:
    """Return the status of a job."""
    return str(api.get(f"/jobs/{job}").json()["status"])


def done(api: httpx2.Client, process: dict[str, Any]) -> str:
    """Return the id of a job that has finished."""
    job = new_job(api, process)
    assert api.post(f"/jobs/{job}/results").status_code == 202
    until(lambda: status(api, job) not in ("queued", "running"))
    return job


def is_error(answer: httpx2.Response, expected: int, code: str) -> dict[str, Any]:
    """Return the error object of an answer, after looking that it is one in openEO's shape."""
    assert answer.status_code == expected, answer.text
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    found: dict[str, Any] = answer.json()
    assert set(found) == {"id", "code", "message", "links"} and found["code"] == code, found
    assert found["id"].startswith("error-") and found["message"]
    return found

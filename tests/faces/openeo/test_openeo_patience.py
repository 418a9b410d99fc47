"""Work that takes a while: followed, cancelled, abandoned, shared with others, and finished after the engine was killed."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from openeo_stage import PATIENT, PREFIX, SUM, begun, is_error, new_job, speaking, status, waiting

from stage import Serving, install_plugin, until, up

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patience")
    (folder / "home").mkdir()
    install_plugin(folder / "site", "processes", "patient", PATIENT)
    return folder


def engine(place: Path, **more: str):
    return up(home=place / "home", cwd=place, PYTHONPATH=str(place / "site"), **more)


@pytest.fixture(scope="module")
def slow(place: Path) -> Iterator[Serving]:
    with engine(place, GEMEL_RUNS__SYNCHRONOUS="2 s") as (serving, _):
        yield serving


@pytest.fixture
def api(slow: Serving) -> Iterator[httpx2.Client]:
    with speaking(slow) as client:
        yield client


def test_a_job_at_work_is_locked_and_has_no_results_yet(api, tmp_path):
    gate = tmp_path / "gate"
    job = new_job(api, waiting(gate))
    api.post(f"/jobs/{job}/results")
    until(lambda: begun(gate))
    assert status(api, job) == "running"
    is_error(api.patch(f"/jobs/{job}", json={"title": "x"}), 400, "JobLocked")
    is_error(api.get(f"/jobs/{job}/results"), 400, "JobNotFinished")
    partial = api.get(f"/jobs/{job}/results", params={"partial": "true"}).json()
    assert partial["properties"]["openeo:status"] == "running" and partial["assets"] == {}
    assert api.post(f"/jobs/{job}/results").status_code == 202  # it goes on as it is
    gate.touch()
    until(lambda: status(api, job) == "finished")
    assert begun(gate) == 1


def test_a_job_is_cancelled_and_can_be_started_again(api, tmp_path):
    gate = tmp_path / "gate"
    job = new_job(api, waiting(gate))
    api.post(f"/jobs/{job}/results")
    until(lambda: begun(gate))
    assert api.delete(f"/jobs/{job}/results").status_code == 204
    assert status(api, job) == "canceled"
    gate.touch()
    api.post(f"/jobs/{job}/results")
    until(lambda: status(api, job) == "finished")


def test_a_deleted_job_stops_its_work(api, slow, tmp_path):
    gate = tmp_path / "gate"
    job = new_job(api, waiting(gate))
    api.post(f"/jobs/{job}/results")
    until(lambda: begun(gate))
    assert api.delete(f"/jobs/{job}").status_code == 204
    is_error(api.get(f"/jobs/{job}"), 404, "JobNotFound")
    with slow.client() as native:
        until(lambda: native.get("/api/v1/runs", params={"limit": 1}).json()["runs"][0]["state"] == "cancelled")


def test_others_are_served_while_one_waits(api, slow, tmp_path):
    gate = tmp_path / "gate"
    job = new_job(api, waiting(gate))
    api.post(f"/jobs/{job}/results")
    until(lambda: begun(gate))
    with speaking(slow) as one, speaking(slow) as other, concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda client: client.post("/result", json={"process": SUM}), (one, other)))
    assert [answer.json() for answer in answers] == [3, 3] and status(api, job) == "running"
    gate.touch()
    until(lambda: status(api, job) == "finished")


def test_a_result_that_takes_too_long_is_given_up_in_time(api, slow, tmp_path):
    gate = tmp_path / "gate"
    is_error(api.post("/result", json={"process": waiting(gate)}), 408, "RequestTimeout")
    with slow.client() as native:
        assert native.get("/api/v1/runs", params={"limit": 1}).json()["runs"][0]["state"] == "cancelled"


def test_a_client_that_goes_away_stops_the_run(slow, tmp_path):
    gate = tmp_path / "gate"
    body = json.dumps({"process": waiting(gate)}).encode()
    host, port = slow.url.removeprefix("http://").split(":")
    head = (
        f"POST {PREFIX}/result HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer basic//{slow.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + body)
        until(lambda: begun(gate))
    with slow.client() as native:
        until(lambda: native.get("/api/v1/runs", params={"limit": 1}).json()["runs"][0]["state"] == "cancelled")


@pytest.mark.chaos
def test_a_job_survives_the_death_of_its_engine(tmp_path):
    (tmp_path / "home").mkdir()
    install_plugin(tmp_path / "site", "processes", "patient", PATIENT)
    gate = tmp_path / "gate"
    with engine(tmp_path) as (first, process), speaking(first) as api:
        job = new_job(api, waiting(gate, 5.0), title="Outlives its engine")
        api.post(f"/jobs/{job}/results")
        until(lambda: begun(gate))
        os.kill(process.pid, signal.SIGKILL)
    with engine(tmp_path) as (second, _), speaking(second) as api:
        assert status(api, job) == "running" and until(lambda: begun(gate) == 2)
        gate.touch()
        until(lambda: status(api, job) == "finished")
        (asset,) = api.get(f"/jobs/{job}/results").json()["assets"].values()
        assert api.get(asset["href"]).json() == 7.0


def test_no_provider_is_listed_where_none_is_configured(api):
    is_error(api.get("/credentials/oidc"), 501, "FeatureUnsupported")
    listed = [entry["path"] for entry in api.get("/").json()["endpoints"]]
    assert "/credentials/oidc" not in listed and "/credentials/basic" in listed

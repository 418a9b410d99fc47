"""Functions of an engine: processes and graphs of twins and of the installed libraries, called in instances of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gemel.base.errors import Conflict, InvalidInput, NotFound
from gemel.core.engine._function_service import FunctionService
from stage import environment, until, write_brook

pytestmark = pytest.mark.slow


@pytest.fixture
def service(sqlite_engine, tmp_path):
    functions = sqlite_engine.functions
    functions.start()
    yield FunctionService(functions)
    functions.stop()


def test_an_installed_process_is_called(service):
    service.deploy({"name": "plus", "process": "add", "arguments": {"y": 4}})
    call = service.invoke("plus", {"x": 3}, wait=60)
    assert call["state"] == "finished" and call["output"] == {"value": 7}
    assert service.call(call["id"]) == call
    assert [item["id"] for item in service.calls("plus")] == [call["id"]]


def test_the_fixed_argument_stays_as_it_is(service):
    service.deploy({"name": "plus", "process": "add", "arguments": {"y": 4}})
    call = service.invoke("plus", {"x": 3, "y": 5}, wait=60)
    assert call["state"] == "failed" and call["attempts"] == 1, "a wrong call is not tried again"
    assert "'y' is fixed" in call["error"]["message"] and call["output"] is None


def test_a_graph_of_a_twin_takes_the_rest_from_the_twin(service, here):
    write_brook(here)
    service.deploy({"name": "ahead", "twin": "brook", "graph": "validate"})
    assert service.invoke("ahead", {"rain": 2.5}, wait=60)["output"] == {"value": {"lost": 1.5}}
    assert service.invoke("ahead", wait=60)["output"] == {"value": {"lost": 0.0}}
    wrong = service.invoke("ahead", {"rain": 99}, wait=60)
    assert wrong["state"] == "failed" and "outside" in wrong["error"]["message"]


def test_a_graph_with_several_outputs_returns_them_by_name_and_fields_as_netcdf(service, here):
    write_brook(here)
    service.deploy({"name": "day", "twin": "brook", "graph": "update"})
    observation = {"time": "2001-01-01T00:00:00Z", "flow": 60.0}
    value = service.invoke("day", {"observation": observation}, wait=60)["output"]["value"]
    assert value["state"] == {"days": 1, "total": 60.0, "flow": 60.0} and value["alerts"][0]["event"] == "flood"
    service.deploy(
        {"name": "coming", "twin": "brook", "process": "coming", "arguments": {"warmth": 0.0, "length": 1.0}}
    )
    call = service.invoke("coming", {"rain": 1.0}, wait=60)
    assert call["state"] == "finished" and service.output(call["id"]).startswith(b"\x89HDF")


def test_what_is_not_there_is_refused_when_it_is_deployed(service, here):
    write_brook(here)
    for wrong, error in (
        ({"process": "nothing-like-it"}, NotFound),
        ({"process": "add", "twin": "no-twin"}, NotFound),
        ({"graph": "no-graph", "twin": "brook"}, NotFound),
        ({"process": "add", "arguments": {"z": 1}}, InvalidInput),
        ({"process": "add", "speed": 1}, InvalidInput),
    ):
        with pytest.raises(error):
            service.deploy({"name": "f", **wrong})
    assert service.list() == []


def test_a_function_is_listed_changed_and_removed(service):
    made = service.deploy({"name": "plus", "process": "add", "arguments": {"y": 4}})
    assert len(made["token"]) == 64 and made["function"]["process"] == "add"
    with pytest.raises(Conflict):
        service.deploy({"name": "plus", "process": "add"})
    changed = service.deploy({"name": "plus", "process": "multiply", "arguments": {"y": 4}}, replace=True)
    assert changed["token"] == made["token"]
    assert service.invoke("plus", {"x": 3}, wait=60)["output"] == {"value": 12}
    (shown,) = service.list()
    assert "token" not in shown and shown["status"]["finished"] == 1
    service.remove("plus")
    assert service.list() == []
    with pytest.raises(NotFound):
        service.get("plus")


def test_output_that_is_no_json_comes_in_base64(service):
    service.deploy({"name": "raw", "script": "printf '\\377\\000'"})
    assert service.invoke("raw", b"x", wait=60)["output"] == {"base64": "/wA="}


ENGINE = """
import sys, threading
from gemel.base.config import load_settings
from gemel.core.engine import open_engine

with open_engine(load_settings(assignments=["store.url=" + sys.argv[1]])) as engine:
    engine.functions.start()
    print("ready", flush=True)
    threading.Event().wait()
"""


@pytest.mark.chaos
def test_calls_of_a_killed_engine_go_on_in_the_next_once_each(sqlite_url, new_engine, here, home):
    write_brook(here)
    gate = here / "gate"
    engine = new_engine(sqlite_url)
    functions = engine.functions
    spec = {"name": "held", "twin": "brook", "process": "waited", "concurrency": 2, "arguments": {"gate": str(gate)}}
    service = FunctionService(functions)
    service.deploy(spec)
    other = subprocess.Popen(
        [sys.executable, "-c", ENGINE, sqlite_url], env=environment(home), cwd=here, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "ready\n"
        ids = [service.invoke("held", {"number": number}, cause=f"n/{number}")["id"] for number in range(5)]
        until(lambda: len(service.calls("held", "running")) == 2)
        assert {call["engine"] for call in service.calls("held", "running")} != {engine._presence.engine}
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        other.stdout.close()
    gate.touch()
    functions.start()
    try:
        calls = [service.call(id, wait=90) for id in ids]
    finally:
        functions.stop()
    assert [call["output"]["value"] for call in calls] == list(range(5))
    assert sorted(call["attempts"] for call in calls) == [1, 1, 1, 2, 2]


def test_instances_end_with_their_engine(sqlite_engine, tmp_path):
    functions = sqlite_engine.functions
    functions.start()
    service = FunctionService(functions)
    service.deploy({"name": "plus", "process": "add", "minimum": 1})
    assert service.invoke("plus", {"x": 1, "y": 2}, wait=60)["output"] == {"value": 3}
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    functions.stop()
    left = children.read_text().split() if children.exists() else []
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left if Path(f"/proc/{pid}/cmdline").exists()]
    assert not any(b"functions._instance" in command for command in commands)

"""Graphs exported to CWL and ecFlow give, driven by the real engines, the very values that gemel gives."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from gemel.base.errors import InvalidInput, NotFound
from gemel.core.graph import (
    Graph,
    Node,
    Registry,
    Retry,
    from_document,
    plan,
    process,
    read_value,
    tasks_of,
    to_document,
)
from gemel.faces import cwl, ecflow
from stage import environment, gemel, until

pytestmark = pytest.mark.slow
_COMMAND = f"{sys.executable} -m gemel"


@pytest.fixture(scope="module")
def river(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    """A new twin's folder, and what its graph gives when gemel runs it."""
    folder = tmp_path_factory.mktemp("river")
    assert gemel("new", "twin", "river", home=folder / "home", cwd=folder).returncode == 0
    ended = gemel("run", "./river", "--save", "out", "--json", home=folder / "home", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return folder, xr.open_dataset(folder / "out" / "storage.nc")


def _export(river: Path, face: str) -> Path:
    target = river / face
    ended = gemel(
        "export",
        "./river",
        "--as",
        face,
        "--to",
        str(target),
        "--command",
        _COMMAND,
        "--json",
        home=river / "home",
        cwd=river,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["lost"]
    return target


def _same(path: Path, wanted: xr.Dataset) -> None:
    found = read_value(path)
    xr.testing.assert_equal(found, wanted.load())
    assert {n: v.attrs.get("units") for n, v in found.items()} == {n: v.attrs.get("units") for n, v in wanted.items()}


def test_cwltool_drives_the_exported_workflow(river, tmp_path):
    pytest.importorskip("cwltool", reason="cwltool is not installed: pip install 'gemel[cwl]'")
    folder, wanted = river
    target = _export(folder, "cwl")
    command = [sys.executable, "-m", "cwltool", "--no-container", "--preserve-environment", "GEMEL_HOME"]
    assert subprocess.run([*command, "--validate", "forecast.cwl"], cwd=target, check=False).returncode == 0
    ended = subprocess.run(
        [*command, "--outdir", str(tmp_path), "forecast.cwl", "job.json"],
        cwd=target,
        env=environment(tmp_path / "other-home"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    _same(Path(json.loads(ended.stdout)["storage"]["path"]), wanted)


@contextlib.contextmanager
def _ecflow_server(folder: Path) -> Iterator[list[str]]:
    """Yield the beginning of a client's command line for a server of its own on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder.mkdir()
    variables = environment(folder / "gemel-home") | {
        "ECF_PORT": str(port),
        "ECF_HOME": str(folder),
        "ECF_HOST": "localhost",
    }
    variables |= {"LANG": "C", "LC_ALL": "C"}
    server = subprocess.Popen(["ecflow_server"], env=variables, cwd=folder, stdout=subprocess.DEVNULL)
    client = ["ecflow_client", f"--port={port}", "--host=localhost"]
    try:
        until(lambda: _quiet([*client, "--ping"]) == 0)
        yield client
    finally:
        server.kill()  # told to terminate, it would only save its state
        server.wait()


def _quiet(command: list[str]) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def _told(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not shutil.which("ecflow_server"), reason="ecFlow is not installed: apt install ecflow-server")
def test_an_ecflow_server_drives_the_exported_suite(river, tmp_path):
    folder, wanted = river
    target = _export(folder, "ecflow")
    with _ecflow_server(tmp_path / "server") as client:
        for command in (f"--load={target / 'suite.def'}", "--restart", "--begin=forecast"):
            subprocess.run([*client, command], check=True, capture_output=True)
        until(lambda: "state:complete" in _suite(client) or "state:aborted" in _suite(client), seconds=120)
        assert "state:aborted" not in _told([*client, "--get_state"]), _jobs(target)
    _same(target / "values" / "interval1.value", wanted)


def _suite(client: list[str]) -> str:
    return next((line for line in _told([*client, "--get_state"]).splitlines() if line.startswith("suite ")), "")


def _jobs(target: Path) -> str:
    return "\n".join(path.read_text() for path in target.rglob("*.1"))


@process
def slow(days: int) -> float:
    """A number.

    Args:
        days: How many.
    """
    return float(days)


@process(durable=False)
def light(x: float) -> float:
    """Twice as much.

    Args:
        x: A number.
    """
    return 2 * x


@process(retry=Retry(attempts=3), timeout=60)
def careful(x: float, y: float) -> float:
    """A sum.

    Args:
        x: A number.
        y: Another.
    """
    return x + y


_REGISTRY = Registry({item.id: item for item in (slow, light, careful)})


def _planned(**more: Any):
    nodes = {
        "first": Node("slow", {"days": 2}),
        "double": Node("light", {"x": {"from_node": "first"}}),
        "last": Node("careful", {"x": {"from_node": "double"}, "y": {"from_node": "first"}} | more),
    }
    return plan(Graph("g", nodes, {"result": "last"}), _REGISTRY, {})


def test_light_steps_travel_inside_the_task_that_needs_them():
    first, last = tasks_of(_planned())
    assert (first.needs, last.needs) == ((), ("first",))
    assert (last.attempts, last.timeout) == (3, 60)


def test_a_plan_survives_the_way_through_json():
    planned = _planned()
    again = from_document(json.loads(json.dumps(to_document(planned))), _REGISTRY)
    assert again == planned


def test_what_another_engine_can_not_have_is_refused():
    with pytest.raises(InvalidInput, match="stored result"):
        to_document(_planned(y={"from_result": "0" * 64}))


def test_another_version_of_a_process_is_refused(tmp_path):
    document = to_document(_planned())
    document["steps"]["first"]["version"] = "0"
    with pytest.raises(InvalidInput, match="version 1 here"):
        from_document(document, _REGISTRY)
    with pytest.raises(NotFound):
        read_value(tmp_path / "first.value")


def test_retries_and_limits_are_said_in_the_other_language(tmp_path):
    cwl.export(_planned(), "g", tmp_path / "cwl")
    workflow = json.loads((tmp_path / "cwl" / "g.cwl").read_text())
    assert workflow["steps"]["last"]["in"]["seconds"] == {"default": 60}
    ecflow.export(_planned(), "g", tmp_path / "ecflow")
    suite = (tmp_path / "ecflow" / "suite.def").read_text()
    assert "task last\n      edit TASK_ID 'last'\n      edit ECF_TRIES '3'\n      trigger first == complete" in suite
    assert "timeout 60 " in (tmp_path / "ecflow" / "files" / "last.ecf").read_text()
    for folder in ("cwl", "ecflow"):
        assert "Progress" in (tmp_path / folder / "LOST.md").read_text() or folder == "ecflow"
    assert os.access(tmp_path / "ecflow" / "values", os.W_OK)

"""What MLflow's own client reads of trainings and models that were told to it; and that telling never hurts."""

from __future__ import annotations

import json
import logging
import math
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gemel.base.errors import InvalidInput, NotFound
from gemel.core.learn.models import Description
from gemel.core.learn.tracking import Tracker
from own_environment import own_environment
from stage import until

DESCRIPTION = Description.read(
    {
        "kind": "mlp",
        "inputs": {"rain": "mm d-1"},
        "outputs": {"flow": "m3 s-1"},
        "options": {"hidden": [16, 16]},
        "training": {"steps": 40, "learning_rate": 0.01},
        "title": "Discharge µ",
    }
)
CURVE = [
    {"step": 20, "loss": 0.5, "validation/loss": 0.7, "learning_rate": 0.01},
    {"step": 40, "loss": 0.25, "validation/loss": None, "learning_rate": 0.01, "notes": ["step 30: said"]},
]
RECORD = {"seconds": 1.5, "metrics": {"rmse": 0.3, "r2": math.nan}, "digest": "abc", "steps": 40}


@pytest.fixture
def client_of() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns of what it calls itself
        from mlflow.tracking import MlflowClient

        yield lambda uri: MlflowClient(tracking_uri=uri, registry_uri=uri)


def _uri(folder: Path) -> str:
    return f"sqlite:///{folder}/store/mlflow.db"


def _bundle(folder: Path) -> Path:
    path = folder / "flow.nc"
    path.write_bytes(b"what was learned")
    return path


def test_mlflow_reads_what_was_told_of_a_training(tmp_path: Path, client_of: Any) -> None:
    run = Tracker(_uri(tmp_path)).log(DESCRIPTION, CURVE, RECORD, name="first", files=[_bundle(tmp_path)])
    assert run is not None
    client = client_of(_uri(tmp_path))
    told = client.get_run(run)
    assert (told.info.run_name, told.info.status) == ("first", "FINISHED")
    assert client.get_experiment(told.info.experiment_id).name == "gemel"
    wanted = {"kind": "mlp", "options.hidden": "[16, 16]", "training.steps": "40", "inputs": "rain [mm d-1]"}
    assert wanted.items() <= told.data.params.items()
    history = client.get_metric_history(run, "loss")
    assert [(item.step, item.value) for item in history] == [(20, 0.5), (40, 0.25)]
    assert [item.step for item in client.get_metric_history(run, "validation/loss")] == [20]
    assert told.data.metrics["record/metrics/rmse"] == 0.3
    assert "record/metrics/r2" not in told.data.metrics
    files = {item.path for item in client.list_artifacts(run)}
    assert files == {"description.json", "record.json", "flow.nc"}
    description = Path(client.download_artifacts(run, "description.json", str(tmp_path)))
    assert Description.read(json.loads(description.read_text())) == DESCRIPTION
    assert not Path("mlruns").exists()


def test_models_are_registered_and_come_back_by_alias(tmp_path: Path, client_of: Any) -> None:
    tracker = Tracker(_uri(tmp_path))
    run = tracker.log(DESCRIPTION, CURVE, RECORD)
    assert tracker.register("flow", _bundle(tmp_path), run=run, alias="champion", tags={"digest": "abc"}) == 1
    (tmp_path / "flow.nc").write_bytes(b"what was learned later")
    assert tracker.register("flow", tmp_path / "flow.nc", alias="challenger") == 2
    client = client_of(_uri(tmp_path))
    champion = client.get_model_version_by_alias("flow", "champion")
    assert (int(champion.version), champion.run_id, champion.tags) == (1, run, {"digest": "abc"})
    found = tracker.fetch("flow", "champion", tmp_path / "found")
    assert (found.name, found.read_bytes()) == ("flow.nc", b"what was learned")
    assert tracker.fetch("flow", "challenger", tmp_path / "later").read_bytes() == b"what was learned later"
    for name, alias in (("flow", "nobody"), ("flood", "champion")):
        with pytest.raises(NotFound, match=f"{name}@{alias}"):
            tracker.fetch(name, alias, tmp_path)


def test_what_goes_wrong_is_a_warning_and_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    with caplog.at_level(logging.WARNING, "gemel"):
        assert Tracker(_uri(tmp_path)).log(DESCRIPTION, CURVE, RECORD) is None
        assert Tracker(_uri(tmp_path)).register("flow", _bundle(tmp_path)) is None
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "MLflow was not told (log)",
        "MLflow was not told (register)",
    ]


def test_addresses_that_mlflow_would_guess_about_are_refused() -> None:
    for uri in ("", "mlruns", "file:///tmp/x", "databricks"):
        with pytest.raises(InvalidInput, match="no address of MLflow"):
            Tracker(uri)


_ALONE = """\
import json, socket, sys
from pathlib import Path
sys.path.insert(0, {here!r})
asked = []
def refused(self, address):
    asked.append(repr(address))
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = refused
socket.getaddrinfo = lambda *given, **more: refused(None, given)
import test_tracking as t
from gemel.core.learn.tracking import Tracker
assert "mlflow" not in sys.modules, "it is imported when it is used"
folder = Path(sys.argv[1])
tracker = Tracker(t._uri(folder))
run = tracker.log(t.DESCRIPTION, t.CURVE, t.RECORD)
version = tracker.register("flow", t._bundle(folder), run=run, alias="champion")
tracker.fetch("flow", "champion", folder / "found")
print(json.dumps([bool(run), version, asked, "torch" in sys.modules]))
"""


@pytest.mark.slow
def test_it_talks_to_nobody_else(tmp_path: Path) -> None:
    paths = os.pathsep.join(path for path in sys.path if path)
    kept = {
        name: value for name, value in os.environ.items() if name not in ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")
    }
    command = [sys.executable, "-c", _ALONE.format(here=str(Path(__file__).parent)), str(tmp_path)]
    done = subprocess.run(command, env=kept | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [True, 1, [], False]


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    python = own_environment("mlflow", Path(__file__).with_name("pins.txt"))
    port, folder = _port(), tmp_path / "server"
    folder.mkdir()
    command = [str(python.with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PYTHONPATH": ""}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | quiet, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
    try:
        until(lambda: _answers(port), 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_a_real_server_keeps_trainings_and_models(tmp_path: Path, server: str, client_of: Any) -> None:
    tracker = Tracker(server, "floods")
    run = tracker.log(DESCRIPTION, CURVE, RECORD, name="far")
    assert run is not None
    assert tracker.register("flow", _bundle(tmp_path), run=run, alias="champion") == 1
    client = client_of(server)
    told = client.get_run(run)
    assert (told.info.run_name, told.data.metrics["loss"]) == ("far", 0.25)
    assert client.get_model_version_by_alias("flow", "champion").run_id == run
    assert tracker.fetch("flow", "champion", tmp_path / "found").read_bytes() == b"what was learned"
    assert list((tmp_path / "server" / "files").rglob("flow.nc"))

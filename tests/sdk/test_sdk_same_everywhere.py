"""The Python client: one body of tests, against an engine in this process and against one behind an address."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import gemel
from gemel import Client, connect
from gemel.base.config import load_settings
from gemel.base.errors import (
    CheckFailed,
    EngineStopped,
    GemelError,
    InvalidInput,
    NotFound,
    OutOfBounds,
    StepFailed,
    Unauthenticated,
    UnitMismatch,
)
from gemel.core.engine import Service, open_engine
from stage import serving, write_brook


@pytest.fixture(scope="module", params=["local", "remote"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    home = tmp_path_factory.mktemp("sdk") / "home"
    write_brook(home / "twins", [1.0, 2.0])
    with contextlib.ExitStack() as stack:
        if request.param == "local":
            yield stack.enter_context(connect(home=home))
            return
        engine = stack.enter_context(open_engine(load_settings(home=home)))
        server = stack.enter_context(serving(Service(engine)))
        yield stack.enter_context(connect(server.url, home=home))


def test_three_lines_are_enough(client):
    flood = client.twins["brook"]
    run = flood.whatif(rain=1.5, warmth="1 K").watch()
    result = run.result.to_xarray()
    assert isinstance(result, xr.Dataset) and result["flow"].attrs["units"] == "m3 s-1"
    np.testing.assert_array_equal(result["flow"].sel(quantile=0.5), [1.0 * 0.75 + 1, 1.5 + 1, np.nan])
    assert {step["step"] for step in run.explain()["steps"]} == {"coming1", "longest1"}


def test_twins_are_a_mapping(client):
    assert "brook" in client.twins and "nothing" not in client.twins
    assert {"brook", "earlywarning"} <= set(client.twins) and len(client.twins) >= 2
    twin = client.twins["brook"]
    assert repr(twin) == "<Twin brook 1.2.3: A synthetic brook>"
    assert "<table>" in twin._repr_html_() and twin.parameters[0]["name"] == "rain"
    assert "**Purpose.**" in twin.card()
    assert twin.document["physical"]["sync"] == "1 d" and twin.live()["freshness"]["state"] == "not-live"


def test_a_run_is_followed_step_by_step(client):
    heard: list[dict] = []
    run = client.twins["brook"].run("forecast", rain=0.125)
    assert run.watch(heard.append) is run and run.state == "finished"
    finished = {change["step"] for change in heard if change["state"] == "finished"}
    assert finished == {"coming1", "longest1"}
    assert client.run(run.id).document == run.document
    assert run.id in [found.id for found in client.runs("brook", "finished")]
    assert run.logs() == [] and repr(run).startswith(f"<Run {run.id} of brook/forecast")
    assert {view["id"] for view in run.views()} == {"flow", "alerts", "quality"}


def test_results_come_as_arrays_tables_values_and_files(client, tmp_path):
    run = client.twins["brook"].run(rain=2.0)
    flow, length = run.outputs["flow"], run.outputs["length"]
    assert isinstance(flow.to_pandas(), pd.DataFrame) and list(flow.to_pandas().columns) == ["quantile", "time", "flow"]
    assert flow.to_json()["data_vars"]["flow"]["data"][1] == [1.0, 2.0, None]
    assert length.to_json() == 2000.0
    assert flow.save(tmp_path / "flow.nc").stat().st_size > 0
    with xr.open_dataset(tmp_path / "flow.nc", engine="h5netcdf") as opened:
        assert opened["flow"].shape == (3, 3)
    assert flow.save(tmp_path / "flow.csv").read_text().startswith("quantile,")
    with pytest.raises(InvalidInput, match=r"\.txt"):
        flow.save(tmp_path / "flow.txt")
    with pytest.raises(InvalidInput):
        length.to_xarray()
    assert not (tmp_path / "flow.txt").exists()


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda client: client.twins["brok"], NotFound, "'brook'"),
        (lambda client: client.twins["../brook?x=1"], NotFound, ""),
        (lambda client: client.run("run-none"), NotFound, "run-none"),
        (lambda client: client.runs(state="lost"), InvalidInput, "lost"),
        (lambda client: client.compare("run-1", "run-2"), NotFound, "run-1"),
        (lambda client: client.pull("nothing"), NotFound, "nothing"),
        (lambda client: client.twins["brook"].whatif(rian=1.0), NotFound, "'rain'"),
        (lambda client: client.twins["brook"].whatif(rain=9.0), OutOfBounds, "[0, 3]"),
        (lambda client: client.twins["brook"].whatif(rain="2 mm"), UnitMismatch, "mm"),
        (lambda client: client.twins["brook"].whatif(rain="wet"), InvalidInput, "wet"),
        (lambda client: client.twins["brook"].run("forcast"), NotFound, "'forecast'"),
        (lambda client: client.twins["brook"].run("failing").watch(), StepFailed, "no water"),
        (lambda client: client.twins["brook"].publish(), CheckFailed, "gemel check brook"),
    ],
)
def test_errors_are_the_same_classes_with_the_same_words(client, ask, error, says):
    with pytest.raises(error) as refused:
        ask(client)
    assert type(refused.value) is error
    assert says in f"{refused.value.message} {refused.value.hint or ''}"


def test_a_failed_run_names_step_and_run(client):
    run = client.twins["brook"].run("failing", rain=0.5)
    with pytest.raises(StepFailed) as failed:
        run.watch()
    assert failed.value.context["step"] == "broken1" and failed.value.context["run"] == run.id and failed.value.hint
    with pytest.raises(StepFailed):
        _ = run.result


def test_a_run_is_cancelled_and_says_so(client, tmp_path):
    run = client.twins["brook"].run("held", gate=str(tmp_path / "never"))
    assert run.cancel().state == "cancelled"
    with pytest.raises(GemelError, match="cancelled"):
        run.watch()


def test_two_runs_are_compared(client):
    one, other = (client.twins["brook"].run(warmth=warmth).watch() for warmth in (1.0, 2.0))
    found = one.compare(other)
    assert {item["aspect"] for item in found["differences"]} == {"parameter", "argument"}
    assert client.compare(one.id, other.id) == found


def test_checking_and_publishing(client):
    report = client.twins["brook"].check()
    assert report["passed"] and {"id", "title", "passed", "value", "bar"} <= set(report["checks"][0])
    published = client.twins["brook"].publish()
    assert published["version"] == "1.2.3" and Path(published["path"]).exists()
    assert client.twins["brook"].publish()["new"] is False


def test_an_address_where_nobody_listens_is_told_so(home):
    with connect("http://127.0.0.1:9") as nowhere, pytest.raises(EngineStopped) as silent:
        _ = nowhere.twins["brook"]
    assert "127.0.0.1:9" in silent.value.message and silent.value.hint == "gemel up"
    with pytest.raises(GemelError):
        _ = connect("no address at all").twins["brook"]


def test_a_wrong_token_is_refused(home):
    with (
        open_engine(load_settings(home=home)) as engine,
        serving(Service(engine)) as server,
        connect(server.url, token="wrong") as stranger,
        pytest.raises(Unauthenticated),
    ):
        _ = stranger.twins["brook"]


def test_the_package_offers_what_people_need_and_nothing_by_accident():
    assert {"connect", "process", "graph", "Field", "Number", "Dataset"} <= set(dir(gemel))
    assert gemel.connect is connect
    with pytest.raises(AttributeError):
        _ = gemel.nothing

"""The early-warning twin end to end: as-of honesty, one state however it was reached, alerts, gaps, a user's own data."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from gemel.base.config import load_settings
from gemel.base.errors import StepFailed
from gemel.core.engine import Engine, Service, open_engine
from gemel.core.twin import load_twin, new_instance
from gemel.sdk import Client, connect
from gemel.thematic import hydro
from stage import checked_home, copy_home, trained_home

# The models are trained first, once for all tests of this group.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("earlywarning")]

BEFORE_FLOOD = "1986-04-01"  # the day before 300 m3/s were measured


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    home = copy_home(trained_home(), tmp_path_factory.mktemp("twin") / "home")
    with open_engine(load_settings(home=home)) as opened:
        yield opened


def _run(engine: Engine, name: str, graph: str, **given: Any) -> dict[str, Any]:
    run = engine.finish(engine.start(engine.twin(name), graph, given))
    assert run.state == "finished", run.error
    return engine.outputs(run)


def test_forecast_of_the_flood_of_april_1986_gives_an_alert_with_place_lead_and_probability(engine: Engine) -> None:
    outputs = _run(engine, "earlywarning", "forecast", issued=BEFORE_FLOOD)
    floods = [alert for alert in outputs["alerts"] if alert["event"] == "flood"]
    assert floods
    alert = floods[0]
    assert not any(item["lead_days"] == 0 for item in floods)
    assert alert["place"] == "Fulda"
    assert alert["lead_days"] == 1
    assert alert["issued"].startswith(BEFORE_FLOOD)
    assert 0.1 <= alert["probability"] <= 1.0
    assert alert["unit"] == "m3 s-1"
    plume = outputs["forecast"]["discharge"]
    assert plume.attrs["units"] == "m3 s-1"
    assert bool((plume.diff("quantile") >= 0).all())


def test_a_level_that_the_river_has_passed_is_an_alert_of_now(engine: Engine) -> None:
    alerts = _run(engine, "earlywarning", "forecast", issued="1986-04-02")["alerts"]
    now = [alert for alert in alerts if alert["lead_days"] == 0]
    assert [(alert["event"], alert["level"], alert["probability"]) for alert in now] == [("flood", "5-year", 1.0)]
    assert now[0]["threshold"] <= 300.0
    assert now[0]["valid"] == "1986-04-02T00:00:00Z"


def test_drought_indices_stand_beside_floods(engine: Engine) -> None:
    indicators = _run(engine, "earlywarning", "forecast", issued="1988-06-30")["indicators"]
    assert {item["name"] for item in indicators} == {"SPI-90", "SSI-30"}
    assert all(item["class"] in ("ok", "watch", "warning") for item in indicators)


def test_more_rain_means_a_higher_peak_and_no_change_means_none(engine: Engine) -> None:
    def peak(**given: float) -> float:
        outputs = _run(engine, "earlywarning", "whatif", issued=BEFORE_FLOOD, **given)
        return float(outputs["forecast"]["discharge"].sel(quantile=0.5).isel(time=slice(2, None)).max())

    dry, usual, wet = peak(rain=0.0), peak(), peak(rain=2.0)
    assert dry < usual < wet
    outputs = _run(engine, "earlywarning", "whatif", issued=BEFORE_FLOOD)
    xr.testing.assert_identical(outputs["forecast"]["discharge"], outputs["baseline"]["discharge"])


def test_doubt_shares_sum_to_one_at_every_lead(engine: Engine) -> None:
    doubt = _run(engine, "earlywarning", "forecast", issued=BEFORE_FLOOD)["doubt"]
    np.testing.assert_allclose(doubt.sum("origin"), 1.0, atol=1e-9)


def test_a_state_that_lived_day_by_day_is_the_one_made_afresh(engine: Engine) -> None:
    live = engine.go_live(engine.twin("earlywarning"), {"speed": "max", "count": 8})
    live.wait_finished()
    status = live.status()
    assert status.problem is None
    assert status.clock is not None
    assert status.clock.date().isoformat() == "1986-03-10"
    assert status.gaps == 0
    assert status.run is not None
    lived = engine.output(engine.runs.journal.get(status.run), "forecast")
    afresh = _run(engine, "earlywarning", "forecast", issued="1986-03-10")["forecast"]
    xr.testing.assert_identical(lived, afresh)


def _csv(record: xr.Dataset, path: Path) -> Path:
    table = record[["precipitation", "temperature", "discharge"]].to_dataframe()
    table.index.name = "date"
    path.write_text(table.to_csv(date_format="%Y-%m-%d"))
    return path


@pytest.fixture(scope="module")
def own(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    """An instance bound to a user's own CSV: here the first years of the Fulda, the last of them perturbed later."""
    folder = tmp_path_factory.mktemp("own")
    record = hydro.packaged_record("fulda").sel(time=slice("1979", "1984"))
    data = _csv(record, folder / "river.csv")
    changed = {"area": "2976.41 km2", "train": "1980/1982", "test": "1983/1984", "place": "Mine"}
    return new_instance("mine", folder, engine.twin("earlywarning"), {"record": str(data)}, changed), record


def test_an_instance_on_own_data_forecasts_and_knows_no_future(own: tuple[Path, xr.Dataset], engine: Engine) -> None:
    folder, record = own
    before = _run(engine, str(folder), "forecast", issued="1983-06-01")
    assert load_twin(folder).id == "mine"
    assert before["forecast"].attrs["place"] == "Mine"
    future = record.copy(deep=True)
    later = future["time"] > np.datetime64("1983-06-01")
    for name in ("precipitation", "temperature", "discharge"):
        future[name] = xr.where(later, future[name] * 0.5 + 1.0, future[name], keep_attrs=True)
    _csv(future, folder.parent / "river.csv")
    after = _run(engine, str(folder), "forecast", issued="1983-06-01")
    xr.testing.assert_identical(before["forecast"], after["forecast"])
    assert before["alerts"] == after["alerts"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "No columns"),
        ("date,precipitation\n2001-01-01,1\n", "temperature"),
        ("date,precipitation,temperature,discharge\n2001-01-01,1,x,3\n", "Line 2"),
        ("\x89PNG\r\n\x00\x01", "river.csv"),
    ],
)
def test_an_unreadable_data_file_is_named_with_the_place(
    tmp_path: Path, engine: Engine, content: str, says: str
) -> None:
    data = tmp_path / "river.csv"
    data.write_text(content)
    folder = new_instance("mine", tmp_path, engine.twin("earlywarning"), {"record": str(data)}, {})
    run = engine.finish(engine.start(load_twin(folder), "forecast", {"issued": "2001-06-01"}))
    assert run.state == "failed"
    assert run.error is not None
    assert "river.csv" in run.error["message"]
    assert says in run.error["message"]
    assert run.error["context"]["process"] == "basin_record"


def test_a_missing_data_file_is_told_before_anything_runs(tmp_path: Path, engine: Engine) -> None:
    folder = new_instance("mine", tmp_path, engine.twin("earlywarning"), {"record": str(tmp_path / "no.csv")}, {})
    run = engine.finish(engine.start(load_twin(folder), "forecast", {}))
    assert run.state == "failed"
    assert run.error is not None
    assert "no.csv" in run.error["message"]


def test_python_client_answers_in_three_lines(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(home=engine.settings.home) as client:
        assert isinstance(client, Client)
        run = client.twins["earlywarning"].whatif(rain=1.3).watch()
        result = run.result.to_xarray()
        assert isinstance(result, xr.Dataset)
        assert result["discharge"].attrs["units"] == "m3 s-1"
        assert run.explain()["doubt"]["items"]
        with pytest.raises(StepFailed, match="too late"):
            client.twins["earlywarning"].run(issued="1970-01-01").watch()


def test_the_page_gets_every_view_with_units(engine: Engine) -> None:
    service = Service(engine)
    run = engine.finish(engine.start(engine.twin("earlywarning"), "forecast", {"issued": BEFORE_FLOOD}))
    views = {view["id"]: view for view in service.views("earlywarning", run.id)}
    plume = views["discharge"]
    assert plume["unit"] == "m3 s-1"
    assert len(plume["quantiles"]["values"]) == len(plume["quantiles"]["levels"]) == 5
    assert plume["thresholds"][0]["label"] == "2-year flood"
    assert plume["drivers"][0]["unit"] == "mm d-1"
    assert views["doubt"]["lead_days"] == [1, 2, 3, 4, 5]


def test_every_bar_of_the_card_holds(tmp_path: Path) -> None:
    with open_engine(load_settings(home=copy_home(checked_home()[0], tmp_path / "home"))) as engine:
        report = engine.check(engine.twin("earlywarning"))
    assert [check["id"] for check in report.checks if not check["passed"]] == []

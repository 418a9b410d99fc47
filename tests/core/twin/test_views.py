"""What a page gets to draw: numbers with unit and time, null for no data, and never an error for an odd output."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from gemel.core.twin import ViewSpec, draw

TIME = np.array(["2001-01-01", "2001-01-02"], "datetime64[ns]")
PLUME = xr.Dataset(
    {
        "flow": (("quantile", "time"), [[1.0, np.nan], [2.0, 3.0], [np.inf, 4.0]], {"units": "m3 s-1"}),
        "seen": ("past", [0.5, np.nan]),
        "rain": ("past", [1.0, 2.0], {"units": "mm d-1", "long_name": "Rain"}),
    },
    {"quantile": [0.05, 0.5, 0.95], "time": TIME, "past": TIME - np.timedelta64(2, "D")},
    {"issued": "2000-12-31T00:00:00Z"},
)
KINDS = ["plume", "alerts", "indicators", "doubt", "table", "reliability", "quality"]


def spec(kind: str, **options) -> ViewSpec:
    return ViewSpec.model_validate({"id": "v", "kind": kind, "output": "out", **options})


def drawn(kind: str, value, **options) -> dict:
    document = draw(spec(kind, **options), {"out": value, "base": PLUME})
    json.loads(json.dumps(document), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    return document


def test_a_plume_has_quantiles_past_drivers_and_baseline():
    view = drawn(
        "plume", PLUME, variable="flow", observed="seen", drivers=["rain"], baseline="base", thresholds="levels"
    )
    assert view["unit"] == "m3 s-1" and view["issued"] == "2000-12-31T00:00:00Z"
    assert (
        view["quantiles"]
        == view["baseline"]
        == {
            "time": ["2001-01-01T00:00:00Z", "2001-01-02T00:00:00Z"],
            "levels": [0.05, 0.5, 0.95],
            "values": [[1.0, None], [2.0, 3.0], [None, 4.0]],
        }
    )
    assert view["observed"] == {"time": ["2000-12-30T00:00:00Z", "2000-12-31T00:00:00Z"], "values": [0.5, None]}
    assert view["drivers"][0]["title"] == "Rain" and view["drivers"][0]["unit"] == "mm d-1"
    assert view["fitted"] is None and view["thresholds"] == []


def test_a_single_series_is_a_plume_of_its_median():
    view = drawn("plume", PLUME["flow"].isel(quantile=1, drop=True))
    assert view["quantiles"]["levels"] == [0.5] and view["quantiles"]["values"] == [[2.0, 3.0]]
    assert view["issued"] == "2001-01-01T00:00:00Z", "without an issue time, the first instant stands for it"


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_without_its_output_is_empty_and_says_so(kind):
    view = draw(spec(kind), {})
    assert view["id"] == "v" and view["kind"] == kind
    if kind != "quality":
        assert view["waiting"] is True and view["note"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("odd", [None, 3, "text", [1, 2], {"a": 1}, PLUME, PLUME["flow"], xr.Dataset()], ids=repr)
def test_no_output_is_too_odd_for_a_page(kind, odd):
    view = draw(spec(kind), {"out": odd})
    assert view["kind"] in (kind, "table") and (view.get("note") or not view.get("waiting"))


def test_a_variable_that_is_not_there_is_named_with_the_nearest():
    view = drawn("plume", PLUME, variable="flo")
    assert view["waiting"] and "Did you mean 'flow'?" in view["note"] and view["quantiles"]["time"] == []


def test_a_plume_that_does_not_run_in_time_is_a_table():
    view = drawn("plume", xr.DataArray([1.0, np.nan], {"day": [1, 2]}, ("day",), "flow", {"units": "mm"}))
    assert view["kind"] == "table" and view["rows"] == [[1, 1.0], [2, None]]
    assert [(column["title"], column["unit"]) for column in view["columns"]] == [("day", ""), ("50%", "mm")]


def test_doubt_is_shown_by_origin_and_lead():
    shares = xr.DataArray(
        [[0.7, 0.5], [0.3, 0.5]], {"origin": ["weather", "state"], "lead": [1, 2]}, ("origin", "lead")
    )
    view = drawn("doubt", shares)
    assert [(item["origin"], item["share"], item["by_lead"]) for item in view["items"]] == [
        ("weather", 0.6, [0.7, 0.5]),
        ("state", 0.4, [0.3, 0.5]),
    ]
    assert view["lead_days"] == [1, 2]


def test_a_table_shows_columns_with_units_and_null_for_nothing():
    view = drawn("table", xr.Dataset({"flow": ("n", [1.5, np.nan], {"units": "m3 s-1"})}))
    assert view["columns"][-1] == {"name": "flow", "title": "flow", "unit": "m3 s-1"}
    assert [row[-1] for row in view["rows"]] == [1.5, None]


def test_the_quality_line_speaks_of_what_is_wanted_and_marks_what_failed():
    checks = [
        {"id": "a", "title": "NSE", "passed": True, "value": 0.8612, "unit": "1"},
        {"id": "b", "title": "Balance", "passed": False, "value": 2, "unit": "mm"},
    ]
    view = draw(spec("quality"), {}, {"passed": False, "checks": checks})
    assert view["line"] == "NSE 0.861 · Balance 2 mm ✗" and view["passed"] is False
    only = draw(spec("quality", show=["a"]), {}, {"passed": False, "checks": checks})
    assert only["line"] == "NSE 0.861"

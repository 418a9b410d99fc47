"""Checks: what passes, what does not, and that nothing passes which cannot be judged."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import NotFound
from gemel.core.trust import CheckResult, ReportStore, Verdict, evaluate, pick
from gemel.infra.store import open_store

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(NUMBERS, min_size=1), NUMBERS)
def test_minimum_and_maximum_hold_for_each_number(values, bar):
    assert evaluate("minimum", values, {"bar": bar}).passed == all(value >= bar for value in values)
    assert evaluate("maximum", values, {"bar": bar}).passed == all(value <= bar for value in values)


@given(st.lists(NUMBERS, min_size=1), NUMBERS, NUMBERS)
def test_between_holds_for_each_number_ends_included(values, one, other):
    low, high = sorted((one, other))
    assert evaluate("between", values, {"bar": [low, high]}).passed == all(low <= value <= high for value in values)


def test_a_verdict_shows_the_worst_value_its_bar_and_what_was_looked_at():
    verdict = evaluate("minimum", [0.9, 0.8, 0.95], {"bar": 0.85})
    assert (verdict.passed, verdict.value, verdict.bar, verdict.comparison) == (False, 0.8, 0.85, ">=")
    assert verdict.evidence == "least of 3 values: 0.9, 0.8, 0.95"
    assert evaluate("maximum", 3, {"bar": 4}).evidence == ""
    farthest = evaluate("between", [0.91, 0.99, 0.86], {"bar": [0.85, 0.95]})
    assert (farthest.passed, farthest.value) == (False, 0.99)


def test_holds_is_for_what_is_true_and_nothing_like_it():
    assert evaluate("holds", True, {}).passed
    for value in (1, "yes", [True], None, False):
        assert not evaluate("holds", value, {}).passed


@pytest.mark.parametrize("kind", ["minimum", "maximum"])
@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, math.nan], [], None, "1.0", True, [1.0, None], {"a": 1}])
def test_what_is_no_number_never_passes_and_says_so(kind, value):
    verdict = evaluate(kind, value, {"bar": 0.0})
    assert not verdict.passed and verdict.value is None and "not a number" in verdict.evidence


@pytest.mark.parametrize(
    ("kind", "bar"),
    [
        ("minimum", None),
        ("minimum", "0.8"),
        ("minimum", True),
        ("maximum", [1.0]),
        ("between", 0.5),
        ("between", [1.0]),
    ],
)
def test_a_bar_that_makes_no_sense_never_lets_anything_pass(kind, bar):
    verdict = evaluate(kind, 0.5, {} if bar is None else {"bar": bar})
    assert not verdict.passed and verdict.evidence


def test_an_unknown_kind_is_named_with_the_nearest_one():
    with pytest.raises(NotFound) as unknown:
        evaluate("minimun", 1, {"bar": 0})
    assert "'minimum'" in unknown.value.hint


def test_values_are_picked_by_a_path_into_the_outputs():
    outputs = {"figures": {"by_lead": [0.9, 0.8], "best": {"nse": 0.86}}, "one": xr.DataArray(np.array([3.5]))}
    assert pick(outputs, "figures.best.nse") == 0.86
    assert pick(outputs, "figures.by_lead.1") == 0.8
    assert pick(outputs, "figures.by_lead") == [0.9, 0.8]
    assert pick(outputs, "one") == 3.5


@pytest.mark.parametrize(
    "path", ["figure", "figures.nse", "figures.by_lead.7", "figures.by_lead.x", "figures.best.nse.x"]
)
def test_a_path_that_leads_nowhere_says_where_it_broke(path):
    outputs = {"figures": {"by_lead": [0.9], "best": {"nse": 0.86}}}
    with pytest.raises(NotFound) as lost:
        pick(outputs, path)
    assert f"'{path}'" in lost.value.message and f"'{path.split('.')[-1]}'" in lost.value.message


def result(name: str, passed: bool) -> CheckResult:
    return CheckResult(name, name.title(), "minimum", "1", Verdict(passed, 0.9, 0.8, ">=", "seen"))


def test_a_report_passes_when_every_check_does_and_is_found_by_what_it_was_made_on(store_url):
    store = open_store(store_url)
    reports = ReportStore(store)
    assert reports.latest("brook") is None
    good = reports.save("brook", "1.0.0", "c1", "run-1", [result("a", True), result("b", True)])
    bad = reports.save("brook", "1.0.0", "c2", None, [result("a", True), result("b", False)])
    assert good.passed and not bad.passed
    assert reports.latest("brook") == bad
    assert reports.latest("brook", "c1") == good
    assert reports.latest("brook", "c3") is None and reports.latest("river") is None
    document = good.document()
    assert document["checks"][0] == {
        "id": "a", "title": "A", "passed": True, "value": 0.9, "bar": 0.8, "unit": "1", "comparison": ">=",
        "evidence": "seen",
    }  # fmt: skip
    assert {"id", "twin", "version", "content", "run", "created", "passed", "checks"} == set(document)
    store.close()

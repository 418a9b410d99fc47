"""From what people write to numbers: units, percents, differences, bounds, and names nearly right."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput, NotFound, OutOfBounds, UnitMismatch
from gemel.core.twin import ParameterSpec, load_twin, resolve
from gemel.core.twin._scenario import value_of
from stage import write_brook

RAIN = ParameterSpec(unit="1", default=1.0, minimum=0.0, maximum=3.0)
WARMTH = ParameterSpec(unit="K", default=0.0, minimum=-5.0, maximum=5.0, difference=True)
LEVEL = ParameterSpec(unit="degC", default=10.0, minimum=-50.0, maximum=50.0)
LENGTH = ParameterSpec(unit="km", default=2.0, minimum=0.1)


@pytest.fixture(scope="module")
def brook(tmp_path_factory):
    return load_twin(write_brook(tmp_path_factory.mktemp("twins")))


@given(st.floats(0.0, 3.0))
def test_a_number_is_in_the_declared_unit_however_it_is_written(value):
    assert value_of("rain", RAIN, value) == value
    assert value_of("rain", RAIN, repr(value)) == value
    assert value_of("rain", RAIN, f"{100 * value!r} %") == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("spec", "written", "value"),
    [
        (RAIN, "130 %", 1.3),
        (RAIN, "130%", 1.3),
        (RAIN, 2, 2.0),
        (LENGTH, "500 m", 0.5),
        (LENGTH, "1e3 m", 1.0),
        (LENGTH, " 1.5 ", 1.5),
        # One kelvin more is one degree Celsius more, and 1.8 degrees Fahrenheit more.
        (WARMTH, "1.5 K", 1.5),
        (WARMTH, "1.5 degC", 1.5),
        (WARMTH, "1.8 degF", 1.0),
        (WARMTH, "-2", -2.0),
        # A level is another thing than a difference.
        (LEVEL, "283.15 K", 10.0),
        (LEVEL, "50 degF", 10.0),
    ],
)
def test_a_value_may_carry_its_unit(spec, written, value):
    assert value_of("p", spec, written) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("written", [3.01, -0.01, "301 %", math.inf, -math.inf, "1e999"])
def test_a_value_beyond_its_bounds_is_refused_with_the_bounds(written):
    with pytest.raises(OutOfBounds) as refused:
        value_of("rain", RAIN, written)
    assert "'rain'" in refused.value.message and "[0, 3]" in refused.value.message
    assert refused.value.context["minimum"] == 0.0 and refused.value.context["maximum"] == 3.0


def test_bounds_belong_to_what_is_allowed():
    assert value_of("rain", RAIN, 0.0) == 0.0 and value_of("rain", RAIN, 3.0) == 3.0


@pytest.mark.parametrize("written", [math.nan, "nan", "", "wet", None, [1.0], True, {"value": 1}])
def test_what_is_no_number_is_refused_by_name(written):
    with pytest.raises(InvalidInput, match="'rain'"):
        value_of("rain", RAIN, written)


def test_infinity_is_no_value_even_without_bounds():
    with pytest.raises(InvalidInput, match="'length'"):
        value_of("length", LENGTH, math.inf)


def test_a_unit_that_measures_something_else_is_refused_with_the_right_one():
    with pytest.raises(UnitMismatch) as refused:
        value_of("length", LENGTH, "3 kg")
    assert "'length'" in refused.value.message and "'km'" in refused.value.hint
    with pytest.raises(InvalidInput, match="banana"):
        value_of("length", LENGTH, "3 bananas")


def test_arguments_come_from_the_given_then_from_the_twin(brook):
    graph = brook.graph("forecast")
    assert resolve(brook, graph, {}) == {"rain": 1.0, "warmth": 0.0, "length": pytest.approx(2000.0)}
    assert resolve(brook, graph, {"rain": "50 %", "length": "700 m"}) == {
        "rain": 0.5,
        "warmth": 0.0,
        "length": pytest.approx(700.0),
    }
    assert resolve(brook, brook.graph("held"), {})["gate"].endswith("gate"), "settings are handed on"


def test_a_name_nearly_right_is_corrected(brook):
    with pytest.raises(NotFound) as unknown:
        resolve(brook, brook.graph(), {"wamrth": 1.0})
    assert "'wamrth'" in unknown.value.message and "'warmth'" in unknown.value.hint


def test_a_parameter_that_the_graph_does_not_use_is_not_quietly_dropped(brook):
    with pytest.raises(InvalidInput) as idle:
        resolve(brook, brook.graph("validate"), {"warmth": 1.0})
    assert "forecast" in idle.value.hint


def test_two_declarations_that_cannot_be_the_same_thing_are_refused(tmp_path):
    twin = load_twin(write_brook(tmp_path, **{'unit = "km"': 'unit = "kg"'}))
    with pytest.raises(UnitMismatch) as refused:
        resolve(twin, twin.graph(), {})
    assert "'length'" in refused.value.message and "'kg'" in refused.value.message and "'m'" in refused.value.message

"""A child process on all cells at once gives what it gives cell by cell."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import GraphInvalid, NotFound, ProcessRefused
from gemel.core.cubes import (
    Along,
    Callback,
    CellByCell,
    Groups,
    applied,
    applied_along,
    callback,
    is_cells,
    reduced,
    reduced_groups,
)

_DATA, _X = {"from_parameter": "data"}, {"from_parameter": "x"}
_NUMBERS = st.one_of(st.just(math.nan), st.floats(-1e3, 1e3, width=32), st.sampled_from([0.0, 1.0, -1.0]))


def graph(**nodes: Any) -> dict[str, Any]:
    """Return a child process; each node is (process, arguments), and the last one is the result."""
    last = list(nodes)[-1]
    found = {name: {"process_id": process, "arguments": given} for name, (process, given) in nodes.items()}
    found[last]["result"] = True
    return {"process_graph": found}


def node(name: str) -> dict[str, str]:
    return {"from_node": name}


def cell_by_cell(child: Callback) -> Callback:
    """Return the child as one that refuses whole arrays, so that it is evaluated the plain way."""

    def evaluate(**arguments: Any) -> Any:
        if any(isinstance(value, (Along, Groups)) or is_cells(value) for value in arguments.values()):
            raise CellByCell
        return child(**arguments)

    return evaluate


_REDUCERS = {
    **{
        f"{name}{'' if ignore else ' with nulls'}": graph(n=(name, {"data": _DATA, "ignore_nodata": ignore}))
        for name in ("sum", "product", "mean", "median", "min", "max", "variance", "sd", "first", "last")
        for ignore in (True, False)
    },
    "count": graph(n=("count", {"data": _DATA})),
    "count all": graph(n=("count", {"data": _DATA, "condition": True})),
    "count some": graph(n=("count", {"data": _DATA, "condition": graph(n=("gt", {"x": _X, "y": 0}))})),
    "element by index": graph(n=("array_element", {"data": _DATA, "index": 1})),
    "element by label": graph(n=("array_element", {"data": _DATA, "label": "b"})),
    "element that is not there": graph(n=("array_element", {"data": _DATA, "label": "z", "return_nodata": True})),
    "index of bands": graph(
        one=("array_element", {"data": _DATA, "label": "a"}),
        other=("array_element", {"data": _DATA, "index": 2}),
        found=("normalized_difference", {"x": node("one"), "y": node("other")}),
        scaled=("linear_scale_range", {"x": node("found"), "inputMin": -1, "inputMax": 1, "outputMax": 255}),
    ),
    "choice": graph(
        mean=("mean", {"data": _DATA}),
        first=("first", {"data": _DATA, "ignore_nodata": False}),
        none=("is_nodata", {"x": node("first")}),
        chosen=("if", {"value": node("none"), "accept": -1, "reject": node("mean")}),
    ),
    "range": graph(
        low=("min", {"data": _DATA}),
        high=("max", {"data": _DATA}),
        n=("subtract", {"x": node("high"), "y": node("low")}),
    ),
    "any above": graph(
        above=("array_apply", {"data": _DATA, "process": graph(n=("gt", {"x": _X, "y": 10}))}),
        n=("any", {"data": node("above")}),
    ),
    "all above, unknown counts": graph(
        above=("array_apply", {"data": _DATA, "process": graph(n=("gt", {"x": _X, "y": -10}))}),
        n=("all", {"data": node("above"), "ignore_nodata": False}),
    ),
    "mean of what is positive": graph(
        kept=("array_filter", {"data": _DATA, "condition": graph(n=("gt", {"x": _X, "y": 0}))}),
        n=("mean", {"data": node("kept")}),
    ),
    "all but the first": graph(
        kept=(
            "array_filter",
            {"data": _DATA, "condition": graph(n=("neq", {"x": {"from_parameter": "label"}, "y": "a"}))},
        ),
        n=("sum", {"data": node("kept")}),
    ),
    "with more": graph(
        longer=("array_append", {"data": _DATA, "value": 5, "label": "d"}), n=("mean", {"data": node("longer")})
    ),
    "of two": graph(
        two=("array_create", {"data": [node("low"), 3, node("high")]}),
        low=("min", {"data": _DATA}),
        high=("max", {"data": _DATA}),
        n=("mean", {"data": node("two")}),
    ),
    "position": graph(n=("array_find", {"data": _DATA, "value": 1})),
    "weighted": graph(
        parts=(
            "array_apply",
            {
                "data": _DATA,
                "process": graph(
                    w=("add", {"x": {"from_parameter": "index"}, "y": 1}), n=("multiply", {"x": _X, "y": node("w")})
                ),
            },
        ),
        n=("sum", {"data": node("parts")}),
    ),
}

_ALONG = {
    **{name: graph(n=(name, {"data": _DATA})) for name in ("cumsum", "cumproduct", "cummin", "cummax", "extrema")},
    **{
        f"{name} with nulls": graph(n=(name, {"data": _DATA, "ignore_nodata": False}))
        for name in ("cumsum", "cummin", "extrema")
    },
    "quantiles": graph(n=("quantiles", {"data": _DATA, "probabilities": [0.1, 0.5, 1]})),
    "quartiles with nulls": graph(n=("quantiles", {"data": _DATA, "probabilities": 4, "ignore_nodata": False})),
    "interpolated": graph(n=("array_interpolate_linear", {"data": _DATA})),
    "sorted, nulls last": graph(n=("sort", {"data": _DATA, "nodata": True})),
    "sorted down, nulls first": graph(n=("sort", {"data": _DATA, "asc": False, "nodata": False})),
    "sorted, nulls out": graph(n=("sort", {"data": _DATA})),
    "order": graph(n=("order", {"data": _DATA, "nodata": True})),
    "rearranged": graph(
        o=("order", {"data": _DATA, "nodata": True}), n=("rearrange", {"data": _DATA, "order": node("o")})
    ),
    "twice": graph(n=("array_concat", {"array1": _DATA, "array2": [1, None]})),
    "modified": graph(n=("array_modify", {"data": _DATA, "values": [7], "index": 1, "length": 1})),
    "labels": graph(n=("array_create", {"data": [1, 2]})),
}

_VALUES = {
    **{
        name: graph(n=(name, {"x": _X}))
        for name in ("absolute", "ceil", "floor", "int", "round", "sgn", "sqrt", "sin", "ln")
    },
    **{
        name: graph(n=(name, {"x": _X, "y": 1}))
        for name in ("eq", "neq", "gt", "gte", "lt", "lte", "add", "divide", "power")
    }
    | {"power": graph(n=("power", {"base": _X, "p": 2}))},
    **{name: graph(n=(name, {"x": _X})) for name in ("is_nodata", "is_valid", "is_infinite")},
    "between": graph(n=("between", {"x": _X, "min": -1, "max": 1})),
    "clip": graph(n=("clip", {"x": _X, "min": -1, "max": 1})),
    "outside": graph(
        low=("lt", {"x": _X, "y": -50}),
        high=("gt", {"x": _X, "y": 50}),
        n=("or", {"x": node("low"), "y": node("high")}),
    ),
    "inside": graph(
        low=("gt", {"x": _X, "y": -50}),
        high=("lt", {"x": _X, "y": 50}),
        both=("and", {"x": node("low"), "y": node("high")}),
        n=("not", {"x": node("both")}),
    ),
    "either": graph(
        low=("gt", {"x": _X, "y": 0}), high=("gt", {"x": _X, "y": 10}), n=("xor", {"x": node("low"), "y": node("high")})
    ),
    "chosen": graph(
        high=("gt", {"x": _X, "y": 0}),
        n=("if", {"value": node("high"), "accept": _X, "reject": {"from_parameter": "context"}}),
    ),
    "nothing": graph(n=("if", {"value": False, "accept": 1})),
    "text": graph(n=("text_concat", {"data": [_X, 1], "separator": "-"})),
}

_BLOCKS = arrays.arrays(np.float64, (3, 4), elements=_NUMBERS)


def cube_of(block: np.ndarray) -> xr.DataArray:
    return xr.DataArray(block.reshape(2, 3, 2), {"b": ["a", "b", "c"]}, ("y", "b", "x"), attrs={"units": "K"})


def assert_equal(one: xr.DataArray, other: xr.DataArray) -> None:
    assert one.dims == other.dims
    if one.dtype == object or other.dtype == object:
        assert one.values.tolist() == other.values.tolist()
        return
    np.testing.assert_allclose(one.values.astype(float), other.values.astype(float), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", _REDUCERS)
@given(block=_BLOCKS)
@settings(max_examples=25)
def test_reducer_at_once_is_reducer_cell_by_cell(name: str, block: np.ndarray) -> None:
    cube, child = cube_of(block), callback(_REDUCERS[name])
    assert_equal(reduced(cube, "b", child), reduced(cube, "b", cell_by_cell(child)))


@pytest.mark.parametrize("name", _REDUCERS)
@given(block=_BLOCKS, codes=st.lists(st.integers(-1, 2), min_size=4, max_size=4))
@settings(max_examples=10)
def test_reducer_of_groups_is_reducer_of_each_group(name: str, block: np.ndarray, codes: list[int]) -> None:
    labels = {"b": ["a", "b", "c", "d"]}
    cube, child = xr.DataArray(block, labels, ("y", "b")), callback(_REDUCERS[name])
    if name.startswith(("element", "index", "with")):
        return  # a group need not have the element asked for
    found = reduced_groups(cube, "b", (np.array(codes), 3), child)
    for group in range(3):
        part = cube.isel(b=np.flatnonzero(np.array(codes) == group))
        assert_equal(found.isel(b=group), reduced(part, "b", cell_by_cell(child)))


@pytest.mark.parametrize("name", _ALONG)
@given(block=_BLOCKS)
@settings(max_examples=25)
def test_arrays_at_once_are_arrays_cell_by_cell(name: str, block: np.ndarray) -> None:
    cube, child = cube_of(block), callback(_ALONG[name])
    fast, slow = applied_along(cube, "b", child), applied_along(cube, "b", cell_by_cell(child))
    assert len(fast) == len(slow)
    assert_equal(fast.data, slow.data)


@pytest.mark.parametrize("name", _VALUES)
@given(block=_BLOCKS)
@settings(max_examples=25)
def test_values_at_once_are_values_cell_by_cell(name: str, block: np.ndarray) -> None:
    cube, child = cube_of(block), callback(_VALUES[name])
    assert_equal(applied(cube, child, context=3), applied(cube, cell_by_cell(child), context=3))


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint16", "int32", "int64", "bool"])
@pytest.mark.parametrize("name", ["sum", "product", "mean", "min", "max", "sd", "count", "first"])
def test_small_types_do_not_run_over(kind: str, name: str) -> None:
    values = np.array([[200, 100], [100, 200], [50, 250]]).astype(kind)
    cube, child = xr.DataArray(values, dims=("b", "x")), callback(_REDUCERS[name])
    assert_equal(reduced(cube, "b", child), reduced(cube, "b", cell_by_cell(child)))


def test_small_integers_do_not_run_over_in_arithmetic() -> None:
    cube = xr.DataArray(np.array([200, 100], dtype=np.uint8), dims=("x",))
    assert applied(cube, callback(graph(n=("multiply", {"x": _X, "y": 10})))).values.tolist() == [2000, 1000]
    assert applied(cube, callback(graph(n=("subtract", {"x": 100, "y": _X})))).values.tolist() == [-100, 0]


def test_float32_stays_float32_and_is_summed_in_float64() -> None:
    # 2^24 + 1 has no float32: summed in float32, all the ones that follow would be lost.
    values = np.ones(1000, dtype=np.float32)
    values[0] = 2**24
    cube = xr.DataArray(values, dims=("t",))
    found = reduced(cube, "t", callback(_REDUCERS["sum"]))
    assert found.dtype == np.float32
    assert float(found) == np.float32(2**24 + 999)


def test_a_zero_size_dimension_reduces_to_no_data() -> None:
    cube = xr.DataArray(np.empty((0, 2)), dims=("t", "x"))
    for name in ("sum", "mean", "min", "sd", "median", "first"):
        assert np.isnan(reduced(cube, "t", callback(_REDUCERS[name])).values).all()
    assert reduced(cube, "t", callback(_REDUCERS["count"])).values.tolist() == [0, 0]


def test_a_cube_without_cells_keeps_its_shape() -> None:
    cube = xr.DataArray(np.empty((3, 0)), {"b": ["a", "b", "c"]}, ("b", "x"))
    for child in _REDUCERS.values():
        assert reduced(cube, "b", callback(child)).sizes == {"x": 0}


def test_units_stay_where_the_operation_keeps_them() -> None:
    cube = cube_of(np.ones((3, 4)))
    assert reduced(cube, "b", callback(_REDUCERS["mean"])).attrs["units"] == "K"
    assert "units" not in reduced(cube, "b", callback(_REDUCERS["product"])).attrs
    assert "units" not in applied(cube, callback(_VALUES["gt"])).attrs


def test_nothing_is_changed_in_place() -> None:
    block = np.array([[1.0, math.nan, 3.0, 4.0]] * 3)
    cube = cube_of(block)
    before = cube.copy(deep=True)
    for child in _ALONG.values():
        applied_along(cube, "b", callback(child))
    xr.testing.assert_identical(cube, before)


def test_order_of_dimensions_and_coordinates_stay() -> None:
    cube = cube_of(np.ones((3, 4))).assign_coords(x=[10, 20], height=("x", [1.0, 2.0]), spatial_ref=0)
    found = applied(cube, callback(_VALUES["absolute"]))
    assert found.dims == cube.dims
    assert set(found.coords) == set(cube.coords)
    assert set(reduced(cube, "b", callback(_REDUCERS["mean"])).coords) == {"x", "height", "spatial_ref"}


def test_child_of_a_child_sees_the_parameters_around_it() -> None:
    inner = graph(n=("add", {"x": _X, "y": {"from_parameter": "base"}}))
    child = callback(graph(n=("array_apply", {"data": [1, 2], "process": inner})))
    assert child(base=10) == [11, 12]


@pytest.mark.parametrize(
    ("child", "error", "said"),
    [
        (graph(n=("mean", {"data": {"from_parameter": "dada"}})), GraphInvalid, "no parameter 'dada'"),
        (graph(n=("mean", {})), GraphInvalid, "needs 'data'"),
        (graph(n=("meen", {"data": _DATA})), NotFound, "meen"),
        (graph(n=("absolute", {"x": node("m")})), GraphInvalid, "no node 'm'"),
        (graph(n=("cumsum", {"data": _DATA})), ProcessRefused, "one value is wanted"),
        (graph(n=("array_element", {"data": _DATA, "label": "z"})), ProcessRefused, "label 'z'"),
        (graph(n=("divide", {"x": 1, "y": 0})), ProcessRefused, "zero"),
    ],
)
def test_a_bad_child_says_what_is_wrong(child: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        reduced(cube_of(np.ones((3, 4))), "b", callback(child))


def test_elements_are_found_by_instants_however_they_are_written() -> None:
    times = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]")
    cube = xr.DataArray([1.0, 2.0], {"t": times}, ("t",))
    for label in ("2020-01-02", "2020-01-02T00:00:00Z", "2020-01-02T01:00:00+01:00"):
        assert float(reduced(cube, "t", callback(graph(n=("array_element", {"data": _DATA, "label": label}))))) == 2


def test_a_child_may_compare_the_dates_of_labels() -> None:
    times = np.array(["2020-01-01", "2020-06-02", "2021-01-01"], dtype="datetime64[ns]")
    cube = xr.DataArray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], {"t": times}, ("t", "x"))
    within = graph(n=("date_between", {"x": {"from_parameter": "label"}, "min": "2020-01-01", "max": "2020-12-31"}))
    child = graph(kept=("array_filter", {"data": _DATA, "condition": within}), n=("sum", {"data": node("kept")}))
    assert reduced(cube, "t", callback(child)).values.tolist() == [4, 6]

"""Values survive being stored: whatever a step may return comes back equal, or is refused with words."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gemel.base.errors import InvalidInput, UnitMismatch
from gemel.core.graph import ValueType, decode, encode
from gemel.core.graph._values import adapt

quick = settings(max_examples=60)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=True)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
names = st.text(st.characters(categories=["Ll", "Lu", "Nd"], include_characters="_ "), min_size=1, max_size=8).filter(
    lambda name: name == name.strip() and not name[0].isdigit()
)
units = st.sampled_from(["m3 s-1", "degC", "1", "days", "s", "%", "mm d-1"])
cells = st.sampled_from(["float64", "float32", "int64", "int32", "uint8", "bool"])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


def round_trip(value):
    encoded = encode(value)
    return decode(encoded.format, encoded.data)


@quick
@given(json_values)
def test_plain_values_round_trip(value):
    back = round_trip(value)
    assert _same(back, value)


@st.composite
def fields(draw):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    data = draw(hnp.arrays(draw(cells), shape))
    dims = [f"d{position}" for position in range(len(shape))]
    field = xr.DataArray(data, dims=dims, name=draw(st.none() | names), attrs={"units": draw(units)})
    if dims and draw(st.booleans()):
        field = field.assign_coords({dims[0]: np.arange(shape[0]) * 0.5, "place": draw(texts)})
    return field


@quick
@given(fields())
def test_fields_round_trip(field):
    back = round_trip(field)
    xr.testing.assert_identical(back, field)
    assert back.dtype == field.dtype


@quick
@given(st.lists(fields(), min_size=1, max_size=3), st.dictionaries(names, texts | st.floats(allow_nan=False)))
def test_datasets_round_trip(parts, attributes):
    variables = {
        f"v{position}": ([f"{dim}_{position}" for dim in part.dims], part.data) for position, part in enumerate(parts)
    }
    dataset = xr.Dataset(variables, attrs=attributes)
    xr.testing.assert_identical(round_trip(dataset), dataset)


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 4))
    columns = {}
    for name in draw(st.lists(names, max_size=4, unique=True)):
        content = draw(
            st.sampled_from(
                [
                    st.floats(allow_nan=True),
                    st.integers(-(2**62), 2**62),
                    st.booleans(),
                    texts | st.none(),
                    st.datetimes(
                        pd.Timestamp("1700-01-01").to_pydatetime(), pd.Timestamp("2200-01-01").to_pydatetime()
                    ),
                ]
            )
        )
        columns[name] = draw(st.lists(content, min_size=rows, max_size=rows))
    table = pd.DataFrame(columns, index=range(rows))
    if columns and draw(st.booleans()):
        table = table.set_index(next(iter(columns)))
    return table


@quick
@given(tables())
def test_tables_round_trip_with_their_index_and_their_gaps(table):
    back = round_trip(table)
    assert list(back.columns) == list(table.columns) and back.index.names == table.index.names
    # How pandas keeps text (object or string) and its gaps (None or NaN) is its own affair; values are not.
    left, right = (
        frame.reset_index().astype(object).where(frame.reset_index().notna(), None) for frame in (back, table)
    )
    assert left.to_dict("records") == right.to_dict("records")


@pytest.mark.parametrize("resolution", ["s", "ms", "us", "ns"])
def test_instants_keep_their_resolution_also_far_from_today(resolution):
    early = ["1700-01-01"] if resolution == "ns" else ["1200-03-01"]
    times = np.array([*early, "2026-11-21T06:30:15", "NaT"], dtype=f"datetime64[{resolution}]")
    field = xr.DataArray([1.0, 2.0, 3.0], dims="time", coords={"issued": ("time", times)})
    back = round_trip(field)
    assert back.issued.dtype == times.dtype
    np.testing.assert_array_equal(back.issued.values, times)


def test_lead_times_in_days_stay_numbers():
    # "days" looks like a duration to CF decoding; a field in days must come back as the numbers it holds.
    field = xr.DataArray([1.0, 2.5], dims="lead", attrs={"units": "days"})
    assert round_trip(field).dtype == np.float64


def test_spans_of_time_stay_spans():
    field = xr.DataArray(np.array([1, 36], dtype="timedelta64[h]").astype("timedelta64[ns]"), dims="lead")
    xr.testing.assert_identical(round_trip(field), field)


def test_the_packing_of_the_file_read_is_not_applied_to_the_result(tmp_path: Path):
    packed = xr.Dataset({"q": ("time", [1.0, 2.0])})
    packed.to_netcdf(tmp_path / "in.nc", encoding={"q": {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1}})
    with xr.open_dataset(tmp_path / "in.nc") as opened:
        finer = opened["q"].copy(data=np.array([1.23, 40000.7]))
    np.testing.assert_array_equal(round_trip(finer).values, finer.values)


def test_a_large_result_is_opened_in_chunks_and_closed(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("gemel.core.graph._values._LAZY_BYTES", 1000)
    field = xr.DataArray(np.arange(4000.0), dims="x", name="big")
    path = tmp_path / "big"
    path.write_bytes(encode(field).data)
    opened = decode("netcdf", path)
    assert opened.chunks is not None
    xr.testing.assert_identical(opened.compute(), field)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (object(), "object"),
        ({"path": Path("x")}, "dict"),
        ("\ud800", "str"),
        (xr.DataArray(1.0, attrs={"flag": True}), "flag"),
        (xr.DataArray(1.0, attrs={"none": None}), "none"),
        (xr.DataArray(np.array(["a", None], dtype=object), dims="x"), "among its texts"),
        (xr.DataArray(["a\0b"], dims="x"), "NUL"),
        (xr.DataArray([1.0], dims="x", name="a/b"), "a/b"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "share a name"),
        (pd.DataFrame({3: [1]}), "not text"),
        (pd.DataFrame({"a": pd.Categorical(["x"])}), "category"),
        (pd.DataFrame({"a": pd.to_datetime(["2000-01-01"], utc=True)}), "UTC"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_words(value, told):
    with pytest.raises(InvalidInput, match=told):
        encode(value)


def test_nothing_is_ever_unpickled():
    assert b"pickle" not in encode(xr.DataArray(1.0)).data
    with pytest.raises(ValueError):
        decode("json", b"\x80\x04K\x01.")


@given(st.floats(-200, 2000))
def test_kelvin_and_celsius_differ_by_an_offset(kelvin):
    field = xr.DataArray(kelvin, attrs={"units": "K"})
    celsius = adapt(field, ValueType(("field",), "degC"), "'t'")
    assert celsius.attrs["units"] == "degC"
    assert float(celsius) == pytest.approx(kelvin - 273.15, abs=1e-9)


def test_numbers_in_one_unit_under_two_spellings_are_not_touched():
    data = np.array([1.0, 2.0])
    field = xr.DataArray(data, dims="x", attrs={"units": "m^3/s"})
    same = adapt(field, ValueType(("field",), "m3 s-1"), "'q'")
    assert same.values is data or np.shares_memory(same.values, data)
    assert same.attrs["units"] == "m3 s-1"


def test_a_conversion_stays_lazy():
    field = xr.DataArray(np.ones(8), dims="x", attrs={"units": "mm"}).chunk(4)
    with warnings.catch_warnings():
        converted = adapt(field, ValueType(("field",), "m"), "'h'")
    assert converted.chunks is not None
    np.testing.assert_allclose(converted.values, 0.001)


def test_a_field_in_another_kind_of_unit_is_refused():
    with pytest.raises(UnitMismatch, match="mm"):
        adapt(xr.DataArray(1.0, attrs={"units": "mm"}), ValueType(("field",), "degC"), "'t'")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("wet", ValueType(("number",))),
        (None, ValueType(("number",))),
        (1.5, ValueType(("integer",))),
        ([1], ValueType(("field",))),
        (True, ValueType(("number",))),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(value, wanted):
    with pytest.raises(InvalidInput):
        adapt(value, wanted, "'x'")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1, ValueType(("number",))),
        (np.float32(1), ValueType(("number",))),
        (2.0, ValueType(("field",), "m")),
        (None, ValueType(("number",), nullable=True)),
        (None, ValueType()),
    ],
)
def test_a_value_of_the_right_kind_passes(value, wanted):
    assert adapt(value, wanted, "'x'") is value


def _same(left, right) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(_same(left[name], right[name]) for name in left)
    return type(left) is type(right) and left == right


def test_times_of_another_calendar_survive():
    times = xr.date_range("2000-02-28", periods=4, calendar="360_day", use_cftime=True)
    cube = xr.DataArray(np.arange(4.0), {"time": times}, ("time",), attrs={"units": "K"})
    found = decode("netcdf", encode(cube).data)
    xr.testing.assert_identical(found, cube)
    assert found.time.values[3].calendar == "360_day"


def test_geometries_among_the_labels_survive():
    pytest.importorskip("xvec", reason="the extra [data] is not installed")
    shapes = np.array([shapely.Point(7, 51), shapely.box(0, 0, 1, 2)], dtype=object)
    cube = xr.DataArray([1.0, 2.0], {"geometry": shapes}, ("geometry",))
    cube = cube.xvec.set_geom_indexes("geometry", crs="EPSG:4326")
    found = decode("netcdf", encode(cube).data)
    assert found.xindexes["geometry"].crs == cube.xindexes["geometry"].crs
    assert shapely.equals(found.geometry.values, shapes).all()
    assert found.values.tolist() == [1.0, 2.0]

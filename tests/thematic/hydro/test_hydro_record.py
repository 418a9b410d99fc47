from __future__ import annotations

import numpy as np
import pytest

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro import packaged_record, read_record
from gemel.thematic.hydro._periods import spans, within

GOOD = b"""date,precipitation,temperature,discharge
2001-01-01,1.0,2.0,3.0
2001-01-02,0.0,2.5,2.9
2001-01-03,4.0,3.0,3.5
"""
AT = {"area": 100.0, "latitude": 50.0}


def test_record_has_cf_units_and_every_value():
    record = read_record(GOOD, **AT, place="Brook")
    assert record["precipitation"].values.tolist() == [1.0, 0.0, 4.0]
    assert record["discharge"].attrs["units"] == "m3 s-1"
    assert record["discharge"].attrs["standard_name"] == "water_volume_transport_in_river_channel"
    assert np.isnan(record["pet"].values).all()
    assert record.attrs["place"] == "Brook"


def test_path_and_bytes_give_the_same_record(tmp_path):
    path = tmp_path / "brook.csv"
    path.write_bytes(GOOD)
    assert read_record(path, **AT).identical(read_record(GOOD, **AT))


def test_unsorted_repeated_and_missing_days_follow_the_rules():
    text = GOOD + b"2001-01-06,1.0,1.0,9.0\n2001-01-02,7.0,,2.0\n"
    record = read_record(text, **AT)
    assert record.sizes["time"] == 6
    assert record["precipitation"].values[1] == 7.0, "the later row for a day wins"
    assert np.isnan(record["discharge"].values[3:5]).all(), "days without a row are gaps"
    assert np.isnan(record["temperature"].values[1])
    counts = [record.attrs[k] for k in ("rows_repeated", "rows_missing", "rows_unsorted")]
    assert counts == [1, 2, 1]


def test_impossible_values_become_gaps_and_are_counted():
    record = read_record(GOOD + b"2001-01-04,-5.0,-5.0,-1\n2001-01-05,inf,1,NaN\n", **AT)
    assert np.isnan(record["precipitation"].values[3:]).all()
    assert np.isnan(record["discharge"].values[3:]).all()
    assert record["temperature"].values[3] == -5.0, "frost is possible"
    assert record.attrs["values_impossible"] == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "Cannot read"),
        (b"date,precipitation,temperature,discharge\n", "has no rows"),
        (b"date,temperature,discharge\n2001-01-01,1,2\n", "lacks precipitation"),
        (b"date,precipitation,discharge\n2001-01-01,1,2\n", "lacks temperature or pet"),
        (GOOD + b"2001-01-04,1.0,x,3.0\n", "Line 5: temperature 'x'"),
        (GOOD + b"2001-01-0", "Line 5"),
        (GOOD + b"yesterday,1,1,1\n", "'yesterday' is not a date"),
        (GOOD + b"2001-01-04,1.0,2.0,3.0,4.0,5.0\n", "Cannot read"),
        (b"\xff\xfe\x00\x01,\x80\n", "Cannot read"),
    ],
)
def test_bad_files_give_one_clear_error(text, says):
    with pytest.raises(InvalidInput, match=says):
        read_record(text, **AT)


def test_absent_file_and_impossible_basin(tmp_path):
    with pytest.raises(InvalidInput, match=r"none\.csv"):
        read_record(tmp_path / "none.csv", **AT)
    with pytest.raises(InvalidInput, match="No basin"):
        read_record(GOOD, area=-1.0, latitude=50.0)


def test_packaged_fulda_is_complete(fulda):
    assert fulda.sizes["time"] == 3653
    assert np.isfinite(fulda["discharge"].values).all()
    assert (float(fulda["discharge"].min()), float(fulda["discharge"].max())) == (8.55, 360.0)


def test_units_of_the_second_record_close_the_water_balance():
    record = packaged_record("leaf")
    yearly = {n: float(record[n].mean()) * 365.25 for n in ("precipitation", "pet", "discharge")}
    runoff = yearly["discharge"] * 86.4 / record.attrs["area_km2"]
    losses = yearly["precipitation"] - runoff
    assert 0 < losses < yearly["pet"], "as m3 s-1 the losses are possible"
    assert yearly["discharge"] > yearly["precipitation"], "as mm d-1 they would not be"


def test_unknown_packaged_record():
    with pytest.raises(InvalidInput, match="No packaged record"):
        packaged_record("rhine")


def test_periods_are_inclusive_and_may_be_several(fulda):
    mask = within(fulda["time"].values, "1980/1980,1982-02/1982-02-03")
    assert mask.sum() == 366 + 3
    with pytest.raises(InvalidInput):
        spans("1984/1980")
    with pytest.raises(InvalidInput):
        spans("the eighties")

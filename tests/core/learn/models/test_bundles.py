"""Descriptions come back as they were written, bundles as they were learned."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.core.graph import decode, encode
from gemel.core.learn.models import Bundle, Description, is_bundle

DOCUMENT = {
    "kind": "mlp",
    "inputs": {"rain": "mm d-1", "map": {"unit": "K", "shape": [8, 8], "dtype": "float64"}},
    "outputs": {"flow": "m3 s-1"},
    "options": {"hidden": [16]},
    "training": {"steps": 10},
    "metrics": ["mae"],
}


def test_a_description_comes_back_from_its_document():
    told = Description.read(DOCUMENT)
    assert Description.read(told.document()) == told
    assert told.inputs[1].shape == (8, 8) and told.outputs[0].unit == "m3 s-1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": ""}, "kind"),
        ({"inputs": {}}, "input"),
        ({"input": {}}, "no 'input'"),
        ({"options": 3}, "'options'"),
        ({"inputs": {"x": 3}}, "Port 'x'"),
        ({"inputs": {"x": {"dtype": "int8"}}}, "int8"),
        ({"outputs": [{"name": "a"}, {"name": "a"}]}, "share a name"),
    ],
)
def test_what_is_wrong_with_a_description_is_named(change, words):
    with pytest.raises(InvalidInput, match=words):
        Description.read(DOCUMENT | change)


def test_a_bundle_travels_as_netcdf_that_any_reader_opens(tmp_path):
    arrays = {"net/layers.0.weight": np.arange(6.0).reshape(2, 3), "blob": np.frombuffer(b"\x00\xff", np.uint8)}
    made = Bundle(
        Description.read(DOCUMENT), arrays, {"seed": 3}, np.arange(4, dtype=np.uint64), {"inputs/rain": np.ones(5)}
    )
    encoded = encode(made.to_dataset())
    again = Bundle.from_dataset(decode(encoded.format, encoded.data))
    assert again.digest == made.digest and again.record == {"seed": 3} and again.description == made.description
    np.testing.assert_array_equal(again.arrays["blob"], arrays["blob"])
    np.testing.assert_array_equal(again.seen, made.seen)
    assert again.seen.dtype == np.uint64 and set(again.reference) == {"inputs/rain"}
    (tmp_path / "model.nc").write_bytes(encoded.data)
    with xr.open_dataset(tmp_path / "model.nc") as outside:
        assert "rain" in outside.attrs["description"]


def test_the_digest_is_that_of_the_answers_not_of_the_telling():
    about, arrays = Description.read(DOCUMENT), {"w": np.ones(3)}
    assert Bundle(about, arrays, {"seed": 1}).digest == Bundle(about, arrays, {"seed": 2}).digest
    assert Bundle(about, {"w": np.zeros(3)}).digest != Bundle(about, arrays).digest
    assert Bundle(about, {"w": np.ones(3, np.float32)}).digest != Bundle(about, arrays).digest


def test_a_dataset_that_is_no_model_is_refused():
    assert not is_bundle(xr.Dataset())
    with pytest.raises(InvalidInput, match="no model"):
        Bundle.from_dataset(xr.Dataset())
    with pytest.raises(InvalidInput, match="later version"):
        Bundle.from_dataset(xr.Dataset(attrs={"gemel_model": 99}))

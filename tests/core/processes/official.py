"""Reading the specification's process tests, and comparing what comes back with what they want."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import json5
import numpy as np
import xarray as xr

from gemel.core.cubes import (
    axis_of,
    coordinate,
    crs_from,
    crs_of,
    dimension_kind,
    instant,
    labeled,
    labels_of,
    with_crs,
)
from gemel.core.graph import Process
from gemel.core.processes import arrays

ROOT = Path(__file__).parents[3]
SPECIFICATION = Path(os.environ.get("GEMEL_CONFORMANCE", ROOT.parent / "shared" / "conformance")) / "openeo-processes"
TESTS = SPECIFICATION / "tests"


def documents() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the tests of each process in the specification."""
    for path in sorted(TESTS.glob("*.json5")):
        yield path.stem, json5.loads(path.read_text(encoding="utf-8"))["tests"]


def decoded(value: Any) -> Any:
    """Return what an argument or result of a test stands for."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        text = (TESTS / value["$ref"]).read_text(encoding="utf-8")
        return decoded(json5.loads(text)) if value["$ref"].endswith("json5") else text
    kind = value.get("type")
    if kind == "nodata":
        return None
    if kind == "labeled-array":
        pairs = value["data"]
        return labeled([decoded(pair["value"]) for pair in pairs], [pair["key"] for pair in pairs])
    if kind == "datetime":
        return datetime.fromisoformat(value["value"])
    if kind == "datacube":
        return Wanted(value)
    return {name: decoded(item) for name, item in value.items()}


class Wanted:
    """A cube of the tests: what it is as a cube of ours, and whether another one is the same."""

    def __init__(self, document: dict[str, Any]) -> None:
        dimensions = document["dimensions"]
        named = {item["name"]: item for item in dimensions} if isinstance(dimensions, list) else dimensions
        self.order = list(document.get("order", named))
        # One test writes the key of the order with a colon in it; the order of the dimensions is the same.
        self.dimensions = {name: named[name] for name in self.order}
        self.nodata = document.get("nodata")
        self.data = document["data"]

    def cube(self) -> xr.DataArray:
        """Return the cube; where it says what no data is, such values are NaN."""
        shape = [len(item["values"]) for item in self.dimensions.values()]
        values = np.zeros(shape) if self.data is None else np.asarray(self.data)
        if self.nodata is not None:
            missing = values == self.nodata
            # A cube of whole numbers keeps being one as long as none of them stands for no data.
            values = np.where(missing, np.nan, values) if missing.any() else values
        coordinates = {
            name: coordinate(name, item["values"], item["type"], item.get("axis"))
            for name, item in self.dimensions.items()
        }
        cube = xr.DataArray(values.reshape(shape), coordinates, self.order)
        systems = {item["reference_system"] for item in self.dimensions.values() if "reference_system" in item}
        return with_crs(cube, systems.pop()) if systems else cube

    def assert_same(self, found: Any, delta: float) -> None:
        """Check dimensions, kinds, labels, reference system and values of the cube `found`."""
        assert isinstance(found, xr.DataArray)
        assert list(found.dims) == self.order
        for name, item in self.dimensions.items():
            assert dimension_kind(found, name) == item["type"]
            assert axis_of(found, name) == item.get("axis", axis_of(found, name))
            assert _labels(labels_of(found, name)) == _labels(item["values"])
            if "reference_system" in item:
                assert crs_of(found) == crs_from(item["reference_system"])
        if self.data is None or not self.order:
            return
        wanted = np.array([math.nan if value is None else float(value) for value in _flat(self.data)])
        if self.nodata is not None and not math.isnan(self.nodata):
            wanted = np.where(wanted == self.nodata, np.nan, wanted)
        # Booleans that may be unknown are 1, 0 and NaN in our cubes.
        np.testing.assert_allclose(found.values.astype(float).ravel(), wanted, rtol=0, atol=delta, equal_nan=True)


def assert_same(found: Any, wanted: Any, delta: float) -> None:
    """Check that `found` is what a test wants."""
    if isinstance(wanted, Wanted):
        wanted.assert_same(found, delta)
        return
    if isinstance(wanted, xr.DataArray):
        assert isinstance(found, xr.DataArray)
        assert arrays.labels_of(found) == arrays.labels_of(wanted)
        found, wanted = found.values.tolist(), wanted.values.tolist()
    if isinstance(found, xr.DataArray):
        found = found.values.tolist()
    if isinstance(wanted, list):
        assert isinstance(found, list)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other, delta)
    elif isinstance(wanted, dict):
        assert found == wanted
    elif isinstance(wanted, datetime):
        assert datetime.fromisoformat(found) == wanted
    elif isinstance(wanted, bool) or wanted is None or isinstance(wanted, str):
        assert found is wanted or (isinstance(wanted, str) and found == wanted)
    elif math.isnan(wanted):
        assert math.isnan(found)
    else:
        assert not isinstance(found, bool)
        assert found == wanted if math.isinf(wanted) else abs(found - wanted) <= delta


def checked(process: Process, arguments: dict[str, Any]) -> Any:
    """Return the process's result; what breaks the schema is refused before anything runs, as the engine does it."""
    for parameter in process.parameters:
        if parameter.required and parameter.name not in arguments:
            raise TypeError(parameter.name)
        value = arguments.get(parameter.name)
        if parameter.name in arguments and not isinstance(value, (xr.DataArray, Wanted)):
            complaint = parameter.type.complaint(value)
            if complaint:
                raise TypeError(complaint)
    given = {name: value.cube() if isinstance(value, Wanted) else value for name, value in arguments.items()}
    return process.function(**given)


def _labels(values: list[Any]) -> list[Any]:
    found = []
    for value in values:
        try:
            found.append(instant(value))
        except ValueError:
            found.append(value)
    return found


def _flat(data: Any) -> Iterator[Any]:
    if isinstance(data, list):
        for item in data:
            yield from _flat(item)
    else:
        yield data

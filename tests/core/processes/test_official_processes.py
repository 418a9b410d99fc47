"""The openEO specification's own process tests, run against our registry. Data: `shared/conformance`, see CONTRIBUTING."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import json5
import pytest
import xarray as xr

from gemel.base.errors import GemelError
from gemel.core.graph import Process, Registry
from gemel.core.processes import arrays

_ROOT = Path(__file__).parents[3]
_TESTS = (
    Path(os.environ.get("GEMEL_CONFORMANCE", _ROOT.parent / "shared" / "conformance")) / "openeo-processes" / "tests"
)
_REGISTRY = Registry()
# The registry grows towards the standard; a process that is offered must pass every test it has.
_OFFERED = set(_REGISTRY.names())
# Tests that contradict the specification they belong to (2.0.0-rc.2), each with where.
_KNOWN_TO_FAIL = {
    ("array_append", 0): "wants 1 after appending 0",
    ("array_apply", 8): "names a process 'mulitply'",
    ("array_element", 3): "asks for label 'BO2' of an array with 'B02'",
    ("array_modify", 3): "wants an element gone without a length, which is 0 by default",
    ("array_find", 6): "wants position 1 for the first element",
    ("lte", 15): "wants infinity not to be less than or equal to itself (IEEE 754, 5.11; `gte` wants the opposite)",
    ("product", 10): "wants NaN for minus infinity times infinity, which IEEE 754 (7.2) makes minus infinity",
    ("count", 4): "the child process uses 'element', the specification calls it 'x'",
    ("count", 5): "the child process uses 'element', the specification calls it 'x'",
    **{("array_filter", number): "hands over 'process', the specification calls it 'condition'" for number in range(7)},
}


def _cases() -> Iterator[Any]:
    for path in sorted(_TESTS.glob("*.json5")):
        if path.stem in _OFFERED:
            document = json5.loads(path.read_text(encoding="utf-8"))
            for number, case in enumerate(document["tests"]):
                reason = _KNOWN_TO_FAIL.get((path.stem, number))
                marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
                yield pytest.param(path.stem, case, id=f"{path.stem}-{number}", marks=marks)


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        kind = value.get("type")
        if kind == "nodata":
            return None
        if kind == "labeled-array":
            pairs = value["data"]
            return arrays.labeled([_decoded(pair["value"]) for pair in pairs], [pair["key"] for pair in pairs])
        if kind == "datetime":
            return datetime.fromisoformat(value["value"])
        return {name: _decoded(item) for name, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, list) else value


def _assert_same(found: Any, wanted: Any, delta: float) -> None:
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
            _assert_same(one, other, delta)
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
        assert found == wanted if math.isinf(wanted) else found == pytest.approx(wanted, abs=delta, rel=0)


@pytest.mark.skipif(not _TESTS.is_dir(), reason=f"the specification's tests are not at {_TESTS}")
@pytest.mark.parametrize(("name", "case"), list(_cases()))
def test_process_as_specified(name: str, case: dict[str, Any]) -> None:
    process = _REGISTRY.get(name)
    assert isinstance(process, Process)
    missing = [other for other in case.get("required", []) if other not in _OFFERED]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, not offered yet")
    arguments = {key: _decoded(value) for key, value in case["arguments"].items()}
    if "throws" in case and "returns" in case:
        # The specification lets an implementation choose between an exception and a value.
        try:
            found = _checked(process, arguments)
        except (GemelError, TypeError):
            return
        _assert_same(found, _decoded(case["returns"]), case.get("delta", 1e-10))
        return
    if "throws" in case:
        with pytest.raises((GemelError, TypeError)) as caught:
            _checked(process, arguments)
        if isinstance(case["throws"], str):
            assert caught.value.context["exception"] == case["throws"]
        return
    found = _checked(process, arguments)
    _assert_same(found, _decoded(case["returns"]), case.get("delta", 1e-10))


def _checked(process: Process, arguments: dict[str, Any]) -> Any:
    # What breaks the schema is refused before anything runs, as the engine does it.
    for parameter in process.parameters:
        if parameter.required and parameter.name not in arguments:
            raise TypeError(parameter.name)
        value = arguments.get(parameter.name)
        if parameter.name in arguments and not isinstance(value, (xr.DataArray, dict)):
            complaint = parameter.type.complaint(value)
            if complaint:
                raise TypeError(complaint)
    return process.function(**arguments)

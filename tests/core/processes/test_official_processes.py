"""The openEO specification's own process tests, run against our registry. Data: `shared/conformance`, see CONTRIBUTING."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from official import TESTS, assert_same, checked, decoded, documents

from gemel.base.errors import GemelError
from gemel.core.graph import Process, Registry

_REGISTRY = Registry()
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
    **{
        ("aggregate_temporal", number): "asks for intervals in January 2020 of a cube from June 2020, and wants values"
        for number in range(5, 9)
    },
    (
        "aggregate_temporal",
        9,
    ): "wants the labels 'before' and 'after', which stand in the reducer, and values of other times",
    ("aggregate_temporal", 10): "wants the median, and its child process computes the mean",
    ("aggregate_temporal_period", 3): "wants a label a day for hours; the specification numbers hours from 00 to 23",
    ("aggregate_temporal_period", 4): "wants days called 2020-06-01-00; the specification calls them 2020-153",
    ("aggregate_temporal_period", 8): "wants the dimension t2 to be called t afterwards; its name stays",
    ("aggregate_temporal_period", 9): "wants the dimension t2 to be called t afterwards; its name stays",
    ("apply", 2): "wants 1650 for 165, where its fixture has the no-data value 255",
    ("apply_dimension", 1): "wants quantiles with 165, where its fixture has the no-data value 255",
    ("apply_dimension", 2): "names the dimension 'bands' of a cube that has t, y and x",
    ("filter_bands", 4): "asks for red and blue, and wants blue and green",
    ("mask", 0): "wants masked what the mask has as 0; the specification masks what is not 0",
    ("mask", 1): "refers to a fixture that is not there",
    ("mask", 2): "wants masked what the mask has as 0; the specification masks what is not 0",
    ("mask_polygon", 0): "wants everything outside replaced, though 'inside' is true",
    ("mask_polygon", 1): "wants nothing outside replaced, though 'inside' is false",
    ("mask_polygon", 6): "its fixture forgets one row of the last time in the last band",
    ("reduce_dimension", 1): "its child process takes results of nodes for its own arguments ('from_argument': 'red')",
    ("rename_dimension", 3): "renames x to lon, and wants y renamed",
    ("rename_dimension", 4): "renames y to lat, and wants x renamed",
    ("rename_labels", 5): "hands over the new labels as 'source', and leaves out 'target', which is required",
    ("rename_labels", 7): "hands over the new labels as 'source', and leaves out 'target', which is required",
    **{("array_filter", number): "hands over 'process', the specification calls it 'condition'" for number in range(7)},
}


# Processes of the specification that are not offered, each with why; it has no tests for any of them.
_NOT_OFFERED = {
    **dict.fromkeys(
        ("ard_normalized_radar_backscatter", "sar_backscatter"), "needs radar geometry and elevation models"
    ),
    **dict.fromkeys(
        ("ard_surface_reflectance", "atmospheric_correction"), "needs a service for atmospheric correction"
    ),
    "cloud_detection": "needs a trained detector for each sensor",
    **dict.fromkeys(("export_collection", "export_workspace"), "needs somebody else's catalogue or storage"),
    **dict.fromkeys(("run_ogcapi", "run_ogcapi_externally", "run_udf_externally"), "needs a service outside"),
    "stac_modify": "works on the links of a result that is exported",
}


def _cases() -> Iterator[Any]:
    for name, tests in documents():
        for number, case in enumerate(tests):
            reason = _KNOWN_TO_FAIL.get((name, number))
            marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason else []
            yield pytest.param(name, case, id=f"{name}-{number}", marks=marks)


@pytest.mark.skipif(not TESTS.is_dir(), reason=f"the specification's tests are not at {TESTS}")
@pytest.mark.parametrize(("name", "case"), list(_cases()))
def test_process_as_specified(name: str, case: dict[str, Any]) -> None:
    assert name in _OFFERED, "a process that has tests must be offered"
    process = _REGISTRY.get(name)
    assert isinstance(process, Process)
    assert not [other for other in case.get("required", []) if other not in _OFFERED]
    arguments = {key: decoded(value) for key, value in case["arguments"].items()}
    delta = case.get("delta", 1e-10)
    if "throws" in case and "returns" in case:
        # The specification lets an implementation choose between an exception and a value.
        try:
            found = checked(process, arguments)
        except (GemelError, TypeError):
            return
        assert_same(found, decoded(case["returns"]), delta)
        return
    if "throws" in case:
        with pytest.raises((GemelError, TypeError)) as caught:
            checked(process, arguments)
        if isinstance(case["throws"], str):
            assert caught.value.context["exception"] == case["throws"]
        return
    assert_same(checked(process, arguments), decoded(case["returns"]), delta)


@pytest.mark.skipif(not TESTS.is_dir(), reason=f"the specification's tests are not at {TESTS}")
def test_what_is_not_offered_is_named() -> None:
    missing = {name for name, _ in documents() if name not in _OFFERED}
    assert sum(len(tests) for _, tests in documents()) == 1014
    assert missing == set(_NOT_OFFERED)

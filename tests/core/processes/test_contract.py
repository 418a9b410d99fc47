"""What the library promises is what the specification says, process by process. Data: `shared/conformance`."""

from __future__ import annotations

import importlib.util
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from official import ROOT, SPECIFICATION

from gemel.core import processes
from gemel.core.graph import Process, Registry
from gemel.core.processes import _standard
from gemel.core.processes._exceptions import MESSAGES
from gemel.testing import ProcessContract

_REGISTRY = Registry()
_CONTRACTS = _standard.contracts()


def _offered() -> list[str]:
    return [name for name in _REGISTRY.names() if name in _CONTRACTS]


def _maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_contract", ROOT / "docs" / "make_contract.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _process(name: str) -> Process:
    found = _REGISTRY.get(name)
    assert isinstance(found, Process)
    return found


@pytest.mark.skipif(not SPECIFICATION.is_dir(), reason=f"the specification is not at {SPECIFICATION}")
def test_contract_is_what_the_specification_says() -> None:
    maker = _maker()
    assert Path(maker.CONTRACT).read_text(encoding="utf-8") == maker.written(maker.contract(SPECIFICATION))


@pytest.mark.skipif(not SPECIFICATION.is_dir(), reason=f"the specification is not at {SPECIFICATION}")
@pytest.mark.parametrize("name", _offered())
def test_description_says_what_the_specification_says(name: str) -> None:
    path = SPECIFICATION / f"{name}.json"
    path = path if path.exists() else SPECIFICATION / "proposals" / f"{name}.json"
    wanted = json.loads(path.read_text(encoding="utf-8"))
    maker, found = _maker(), _process(name).describe()
    # Every functional part of it; the texts are ours.
    assert maker.facts(found) == maker.facts(wanted)
    assert all(item["message"] for item in found.get("exceptions", {}).values())


@pytest.mark.parametrize("name", _offered())
def test_function_takes_what_its_contract_says(name: str) -> None:
    taken = inspect.signature(_process(name).function).parameters
    promised = _CONTRACTS[name]["parameters"]
    assert list(taken) == [item["name"] for item in promised]
    for item in promised:
        default = taken[item["name"]].default
        assert (default is inspect.Parameter.empty) == (not item.get("optional", False)), item["name"]
        if "default" in item:
            plain = {tuple: list}.get(type(default), lambda value: value)(default)
            # An empty object as default is one that nobody can change: null, or an empty mapping.
            assert plain == item["default"] or (item["default"] == {} and not plain), item["name"]


@pytest.mark.parametrize("name", _offered())
def test_every_word_of_a_description_is_there(name: str) -> None:
    found = _process(name).describe()
    assert found["summary"]
    assert all(item["description"] for item in found["parameters"]), name


_SUITE = [name for name in vars(ProcessContract) if name.startswith("test_")]


@pytest.mark.parametrize("check", _SUITE)
@pytest.mark.parametrize("library", processes.LIBRARIES, ids=lambda library: library.__name__.rsplit(".", 1)[-1])
def test_processes_pass_the_suite_for_processes(library: ModuleType, check: str) -> None:
    for found in vars(library).values():
        if isinstance(found, Process):
            suite = type("Suite", (ProcessContract,), {"process": found})()
            getattr(suite, check)()


def test_of_the_specification_s_words_only_those_inside_schemas_are_kept() -> None:
    for contract in _CONTRACTS.values():
        assert set(contract) <= {"categories", "parameters", "returns", "exceptions", "experimental", "deprecated"}
        assert not any("description" in item for item in contract["parameters"])
        assert set(contract["returns"]) == {"schema"}


def test_every_exception_has_words_of_ours() -> None:
    named = {name for contract in _CONTRACTS.values() for name in contract.get("exceptions", ())}
    assert named == set(MESSAGES)


@pytest.mark.parametrize(
    ("process", "parameter", "value", "said"),
    [
        ("aggregate_temporal_period", "period", "fortnight", "'fortnight' is not one of"),
        ("apply_kernel", "border", "mirror", "'mirror' is not one of"),
        ("apply_kernel", "border", True, "is not"),
        ("filter_temporal", "extent", ["2020-01-01"], "a list of 1"),
        ("filter_bbox", "extent", {"west": 1, "south": 2, "east": 3}, "'north' is missing"),
        ("resample_spatial", "resolution", -10, "below the minimum of 0"),
        ("resample_spatial", "method", "nearest", "'nearest' is not one of"),
        ("aggregate_spatial_window", "size", [2, 0], "below the minimum of 1"),
        ("vector_buffer", "distance", 0, "0 is not accepted"),
        ("vector_to_regular_points", "distance", 0, "not above 0"),
        ("rename_labels", "target", ["a", "a"], "holds an item twice"),
        ("flatten_dimensions", "label_separator", "", "empty text"),
        ("mean", "data", 5, "5 is not a list"),
        ("mean", "ignore_nodata", "yes", "'yes' is not a boolean"),
        ("reduce_dimension", "data", {"type": "Polygon"}, "is not a data cube"),
    ],
)
def test_what_breaks_the_schema_is_refused_before_anything_runs(
    process: str, parameter: str, value: Any, said: str
) -> None:
    found = next(item for item in _process(process).parameters if item.name == parameter)
    assert said in (found.type.complaint(value) or "")


@pytest.mark.parametrize(
    ("process", "parameter", "value"),
    [
        ("apply_kernel", "border", 3.5),
        ("apply_kernel", "border", "wrap"),
        ("filter_temporal", "extent", [None, "2020-01-01"]),
        ("filter_bbox", "extent", {"west": 1, "south": 2, "east": 3, "north": 4, "crs": 25832, "base": None}),
        ("count", "condition", True),
        ("mask", "replacement", None),
        ("aggregate_spatial", "geometries", {"type": "Point", "coordinates": [0, 0]}),
        ("resample_spatial", "projection", None),
    ],
)
def test_what_the_schema_allows_is_accepted(process: str, parameter: str, value: Any) -> None:
    found = next(item for item in _process(process).parameters if item.name == parameter)
    assert found.type.complaint(value) is None

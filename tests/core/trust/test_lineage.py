"""Why a number changed: differences between two runs named by their aspect, consequences apart."""

from __future__ import annotations

import dataclasses
import json

import pytest

from gemel.core.graph import Run, StepRecord
from gemel.core.trust import compare, lineage

SOURCE = {
    "process": "read",
    "version": "1",
    "code": "aaa",
    "environment": "e1",
    "arguments": {"record": {"file": "f1"}, "rain": 1.0},
}
MODEL = {"process": "model", "version": "1", "code": "bbb", "environment": "e1", "arguments": {"data": {"input": "d1"}}}


def step(node: str, ingredients: dict, started: float, run: str = "run-1") -> StepRecord:
    return StepRecord(
        run, node, ingredients["process"], "finished", key=node, started=started, ingredients=json.dumps(ingredients)
    )


def run(source: dict = SOURCE, model: dict | None = MODEL, **changes) -> Run:
    steps = [step("z-read", source, 1.0)] + ([step("a-model", model, 2.0)] if model else [])
    plain = Run(
        "run-1", "brook", "forecast", "finished", "s", {}, {"rain": 1.0}, {}, 0.0, 0.0, 1.0, "engine", None, None,
        steps=tuple(steps),
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def aspects(found: dict) -> list[tuple[str, str]]:
    return [(item["step"], item["aspect"]) for item in found["differences"]]


def test_equal_runs_differ_in_nothing():
    found = compare(run(), run(id="run-2"))
    assert found["same"] and found["differences"] == found["consequences"] == [] and found["runs"] == ["run-1", "run-2"]


@pytest.mark.parametrize(
    ("change", "aspect"),
    [
        ({"process": "other"}, "process"),
        ({"version": "2"}, "version"),
        ({"code": "ccc"}, "code"),
        ({"environment": "e2"}, "environment"),
        ({"arguments": {"record": {"file": "f1"}, "rain": 2.0}}, "argument"),
        ({"arguments": {"record": {"file": "f2"}, "rain": 1.0}}, "file"),
        ({"arguments": {"record": {"file": "f1"}}}, "argument"),
    ],
)
def test_a_cause_is_named_and_what_follows_from_it_is_a_consequence(change, aspect):
    changed = run(SOURCE | change, MODEL | {"arguments": {"data": {"input": "d2"}}})
    found = compare(run(), changed)
    assert aspects(found) == [("z-read", aspect)]
    assert found["consequences"] == ["a-model"] and not found["same"]
    assert found["differences"][0]["meaning"]


def test_parameters_twin_and_graph_of_the_run_are_looked_at_too():
    found = compare(run(), run(arguments={"rain": 2.0, "more": True}, graph="whatif", twin="river"))
    assert aspects(found) == [("", "twin"), ("", "graph"), ("", "parameter"), ("", "parameter")]
    assert found["differences"][2]["first"] == {"more": None} or found["differences"][3]["first"] == {"more": None}


def test_a_step_that_only_one_run_has_is_named():
    found = compare(run(), run(model=None))
    assert aspects(found) == [("a-model", "step")] and "first" in found["differences"][0]["meaning"]
    assert "second" in compare(run(model=None), run())["differences"][0]["meaning"]


def test_a_step_with_a_cause_of_its_own_is_no_mere_consequence():
    found = compare(run(), run(SOURCE | {"code": "x"}, MODEL | {"code": "y", "arguments": {"data": {"input": "d2"}}}))
    assert aspects(found) == [("a-model", "code"), ("z-read", "code")] and found["consequences"] == []


def test_lineage_tells_the_steps_in_the_order_they_began():
    rows = lineage(run())
    assert [row["step"] for row in rows] == ["z-read", "a-model"]
    assert rows[0]["code"] == "aaa" and rows[1]["arguments"] == {"data": {"input": "d1"}}

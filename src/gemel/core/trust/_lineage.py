"""Why is this number what it is, and why did it change: lineage of a run, and the difference between two."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gemel.core.graph import Run, StepRecord

_ASPECTS = {
    "process": "another process",
    "version": "another version of the process",
    "code": "the code of the process changed",
    "environment": "other package versions",
    "arguments": "other arguments",
}


def lineage(run: Run) -> list[dict[str, Any]]:
    """Return, for each step in the order of its start, what it was made from: process, code, environment, inputs."""
    rows = []
    for step in sorted(run.steps, key=lambda record: (record.started or 0.0, record.node)):
        ingredients = _ingredients(step)
        rows.append({"step": step.node, "cached": step.cached, "key": step.key, "state": step.state, **ingredients})
    return rows


def compare(first: Run, second: Run) -> dict[str, Any]:
    """Return what differs between two runs, causes before their consequences.

    A step whose inputs alone differ is a consequence of an earlier step and is listed as such.
    """
    steps = ({step.node: step for step in run.steps} for run in (first, second))
    ours, theirs = steps
    differences = list(_argument_differences(first, second))
    consequences = []
    for node in sorted(ours.keys() | theirs.keys()):
        found = list(_step_differences(node, ours.get(node), theirs.get(node)))
        differences += [item for item in found if item["aspect"] != "input"]
        consequences += [node for item in found if item["aspect"] == "input"]
    outputs = _output_differences(first, second)
    return {
        "runs": [first.id, second.id],
        "same": not differences and not consequences,
        "differences": differences,
        "consequences": sorted(set(consequences) - {item["step"] for item in differences}),
        "outputs": outputs,
    }


def _ingredients(step: StepRecord) -> dict[str, Any]:
    return dict(json.loads(step.ingredients)) if step.ingredients else {}


def _argument_differences(first: Run, second: Run) -> Iterator[dict[str, Any]]:
    for aspect in ("twin", "graph"):
        if getattr(first, aspect) != getattr(second, aspect):
            yield _difference("", aspect, getattr(first, aspect), getattr(second, aspect), f"another {aspect}")
    for name in sorted(first.arguments.keys() | second.arguments.keys()):
        a, b = first.arguments.get(name), second.arguments.get(name)
        if a != b:
            yield _difference("", "parameter", {name: a}, {name: b}, f"parameter '{name}' differs")


def _step_differences(node: str, ours: StepRecord | None, theirs: StepRecord | None) -> Iterator[dict[str, Any]]:
    if ours is None or theirs is None:
        which = "second" if ours is None else "first"
        yield _difference(node, "step", ours and ours.process, theirs and theirs.process, f"only in the {which} run")
        return
    a, b = _ingredients(ours), _ingredients(theirs)
    for aspect, meaning in _ASPECTS.items():
        if aspect == "arguments":
            yield from _arguments(node, a.get(aspect, {}), b.get(aspect, {}))
        elif a.get(aspect) != b.get(aspect):
            yield _difference(node, aspect, a.get(aspect), b.get(aspect), meaning)


def _arguments(node: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            one, other = a.get(name), b.get(name)
            is_input = isinstance(one, dict) and isinstance(other, dict) and "input" in one and "input" in other
            is_file = isinstance(one, dict) and isinstance(other, dict) and "file" in one and "file" in other
            aspect = "input" if is_input else "file" if is_file else "argument"
            meaning = f"the content of file '{name}' differs" if is_file else f"argument '{name}' differs"
            yield _difference(node, aspect, one, other, meaning)


def _output_differences(first: Run, second: Run) -> list[dict[str, Any]]:
    ours, theirs = ({output.name: output.key for output in run.outputs} for run in (first, second))
    return [
        {"name": name, "same_step": ours.get(name) == theirs.get(name)} for name in sorted(ours.keys() | theirs.keys())
    ]


def _difference(step: str, aspect: str, first: Any, second: Any, meaning: str) -> dict[str, Any]:
    return {"step": step, "aspect": aspect, "first": first, "second": second, "meaning": meaning}

"""A plan as a CWL 1.2 workflow: one step for each task, values passed on as files (CWL Workflow Description 1.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gemel.core.graph import Plan, Task, tasks_of, to_document
from gemel.core.twin import take_along

#: What a graph has in gemel and loses on the way, as people read it.
LOST = (
    "A step is run again whenever the engine that drives the workflow says so; gemel's own store of results is not asked.",
    "There is no journal: no record of inputs, code and environment of each step, so no comparison of runs.",
    "Progress inside a step is not shown, and values are not let go of before the workflow ends.",
    "Attempts after a failure are the driving engine's business: CWL has no words for them.",
    "Light steps are computed inside the task that needs them; where two tasks need the same one, both compute it.",
    "Triggers, live state, checks and the gate before publication stay with the twin.",
)
_TOOL = "gemel-step.cwl"


def export(
    plan: Plan, name: str, folder: Path, command: tuple[str, ...] = ("gemel",), twin: Path | None = None
) -> list[Path]:
    """Return the files written: the workflow, the tool it calls, the plan, a job to start with, and what is lost.

    Args:
        plan: The plan.
        name: Name of the graph.
        folder: Where the files go.
        command: How gemel is called where the workflow runs.
        twin: Folder of the twin whose processes the plan uses, which is taken along, or None.

    Raises:
        InvalidInput: The plan starts from results that only this engine has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents = {
        "plan.json": to_document(plan),
        _TOOL: _tool(command),
        f"{name}.cwl": _workflow(plan, name),
        "job.json": _job(twin),
    }
    take_along(twin, folder)
    written = []
    for file, document in documents.items():
        (folder / file).write_text(json.dumps(document, indent=1) + "\n")
        written.append(folder / file)
    lost = folder / "LOST.md"
    lost.write_text(f"# What graph '{name}' loses in CWL\n\n" + "".join(f"* {line}\n" for line in LOST))
    return [*written, lost]


def _job(twin: Path | None) -> dict[str, Any]:
    folder = {"twin": {"class": "Directory", "path": "twin"}} if twin else {}
    return {"plan": {"class": "File", "path": "plan.json"}} | folder


def _tool(command: tuple[str, ...]) -> dict[str, Any]:
    return {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "label": "One task of a gemel plan",
        "baseCommand": [*command, "step"],
        "requirements": {
            "InlineJavascriptRequirement": {},
            "InitialWorkDirRequirement": {"listing": "$(inputs.values)"},
            "ToolTimeLimit": {"timelimit": "$(inputs.seconds)"},
        },
        "inputs": {
            "plan": {"type": "File", "inputBinding": {"position": 1}},
            "task": {"type": "string", "inputBinding": {"position": 2}},
            "file": "string",
            "seconds": {"type": "int", "doc": "Seconds it may take, 0 for no limit."},
            "twin": {"type": "Directory?", "inputBinding": {"prefix": "--twin", "position": 3}},
            "values": {"type": "File[]", "default": [], "doc": "Values of earlier tasks."},
        },
        "arguments": [{"position": 3, "prefix": "--folder", "valueFrom": "$(runtime.outdir)"}],
        "outputs": {"value": {"type": "File", "outputBinding": {"glob": "$(inputs.file)"}}},
    }


def _workflow(plan: Plan, name: str) -> dict[str, Any]:
    tasks = {task.id: task for task in tasks_of(plan)}
    names = {task: _identifier(task) for task in tasks}
    return {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "label": f"Graph '{name}' of gemel",
        "requirements": {"MultipleInputFeatureRequirement": {}},
        "inputs": {
            "plan": {"type": "File", "doc": "The plan that the steps are taken from."},
            "twin": {"type": "Directory?", "doc": "The twin whose processes the plan uses."},
        },
        "steps": {names[task.id]: _step(task, names) for task in tasks.values()},
        "outputs": {
            output: {"type": "File", "outputSource": f"{names[task]}/value"} for output, task in plan.outputs.items()
        },
    }


def _step(task: Task, names: dict[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {
        "plan": "plan",
        "twin": "twin",
        "task": {"default": task.id},
        "file": {"default": task.file},
        "seconds": {"default": int(task.timeout or 0)},
    }
    if task.needs:
        sources = [f"{names[need]}/value" for need in task.needs]
        given["values"] = {"source": sources, "linkMerge": "merge_flattened"}
    return {"run": _TOOL, "label": task.process, "in": given, "out": ["value"]}


def _identifier(task: str) -> str:
    return task.replace("/", "__")

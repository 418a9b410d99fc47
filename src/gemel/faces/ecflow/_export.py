"""A plan as an ecFlow suite: one task for each step, triggered by those it needs (ecFlow user manual 5, definition file)."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from gemel.core.graph import Plan, Task, tasks_of, to_document
from gemel.core.twin import take_along

#: What a graph has in gemel and loses on the way, as people read it.
LOST = (
    "A task is run again whenever the suite is: gemel's own store of results is not asked.",
    "There is no journal: no record of inputs, code and environment of each step, so no comparison of runs.",
    "Values are passed on as files in one folder, which every machine that runs tasks must see.",
    "Which errors are worth a new attempt is lost: ecFlow tries any failed task ECF_TRIES times.",
    "Light steps are computed inside the task that needs them; where two tasks need the same one, both compute it.",
    "Triggers, live state, checks and the gate before publication stay with the twin; a cron of ecFlow can start the suite.",
)
_SCRIPT = """%include <head.h>
{timeout}%GEMEL% step %PLAN% '%TASK_ID%' --folder %VALUES%{twin}
%include <tail.h>
"""
# The handshake of a job with its server: begin, complete, and abort on any error (user manual, "Understanding includes").
_HEAD = """#!/bin/sh
set -e
export ECF_PORT=%ECF_PORT% ECF_HOST=%ECF_HOST% ECF_NAME=%ECF_NAME% ECF_PASS=%ECF_PASS% ECF_TRYNO=%ECF_TRYNO%
export ECF_RID=$$
%ECF_CLIENT_EXE_PATH:ecflow_client% --init=$$
stumble() { set +e; trap 0; %ECF_CLIENT_EXE_PATH:ecflow_client% --abort="${1:-stopped}"; exit 1; }
trap 'stumble' 0
trap 'stumble signal' 1 2 3 15
"""
_TAIL = """%ECF_CLIENT_EXE_PATH:ecflow_client% --complete
trap 0
exit 0
"""


def export(
    plan: Plan, name: str, folder: Path, command: tuple[str, ...] = ("gemel",), twin: Path | None = None
) -> list[Path]:
    """Return the files written: the suite definition, the tasks' script, its includes, the plan, and what is lost.

    Args:
        plan: The plan.
        name: Name of the graph; the suite is called after it.
        folder: Where the files go; the suite names it, so it stays where it is.
        command: How gemel is called where the tasks run.
        twin: Folder of the twin whose processes the plan uses, which is taken along, or None.

    Raises:
        InvalidInput: The plan starts from results that only this engine has.
    """
    folder = folder.absolute()
    texts = {
        "plan.json": json.dumps(to_document(plan), indent=1) + "\n",
        "suite.def": _suite(plan, name, folder, command),
        "include/head.h": _HEAD,
        "include/tail.h": _TAIL,
        "LOST.md": f"# What graph '{name}' loses in ecFlow\n\n" + "".join(f"* {line}\n" for line in LOST),
    }
    texts |= {
        f"files/{_identifier(task.id)}.ecf": _SCRIPT.format(timeout=_limit(task), twin=" --twin %TWIN%" if twin else "")
        for task in tasks_of(plan)
    }
    take_along(twin, folder)
    written = []
    for file, text in texts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    for inner in ("values", "jobs"):
        (folder / inner).mkdir(exist_ok=True)
    return written


def _suite(plan: Plan, name: str, folder: Path, command: tuple[str, ...]) -> str:
    variables = {
        "ECF_HOME": folder / "jobs",
        "ECF_FILES": folder / "files",
        "ECF_INCLUDE": folder / "include",
        "GEMEL": shlex.join(command),
        "PLAN": folder / "plan.json",
        "VALUES": folder / "values",
        "TWIN": folder / "twin",
    }
    lines = [f"suite {_identifier(name)}", *(f"  edit {key} '{value}'" for key, value in variables.items())]
    lines += ["  family graph"]
    for task in tasks_of(plan):
        lines += [f"    task {_identifier(task.id)}", f"      edit TASK_ID '{task.id}'"]
        lines += [f"      edit ECF_TRIES '{task.attempts}'"]
        if task.needs:
            lines += [f"      trigger {' and '.join(f'{_identifier(need)} == complete' for need in task.needs)}"]
    return "\n".join([*lines, "  endfamily", "endsuite", ""])


def _limit(task: Task) -> str:
    return f"timeout {int(task.timeout)} " if task.timeout else ""


def _identifier(name: str) -> str:
    # Names of nodes are letters, digits, underscores and dots, and begin with none of the latter (user manual, grammar).
    return re.sub(r"[^A-Za-z0-9_.]", "_", name.replace("/", "__")).lstrip(".") or "graph"

"""A CWL tool and its job as a graph of one step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gemel.base.errors import InvalidInput, NotFound
from gemel.infra.compute import read_yaml

_FILES = ("File", "Directory")


def cwl_graph(tool: str, job: str | None) -> dict[str, Any]:
    """Return the process graph that runs a tool on a job; paths in the job start at the job's folder.

    Raises:
        NotFound: One of the files is not there.
        InvalidInput: The job is no mapping of inputs.
    """
    if not Path(tool).is_file():
        raise NotFound(f"There is no file '{tool}'.")
    arguments = {"tool": str(Path(tool).resolve()), "inputs": _inputs(Path(job)) if job else {}}
    return {"process_graph": {"tool": {"process_id": "run_cwl", "arguments": arguments, "result": True}}}


def kept_files(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the files in a tool's result that lie in the lake."""
    if isinstance(value, dict):
        if "gemel:digest" in value:
            yield value
        for item in value.values():
            yield from kept_files(item)
    elif isinstance(value, list):
        for item in value:
            yield from kept_files(item)


def _inputs(job: Path) -> dict[str, Any]:
    document = read_yaml(job)
    if not isinstance(document, dict):
        raise InvalidInput(f"The job '{job}' is no mapping of inputs by name.")
    return {str(name): _placed(value, job.resolve().parent) for name, value in document.items()}


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_placed(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    placed = {name: _placed(item, folder) for name, item in value.items()}
    local = str(placed.get("path") or placed.get("location") or "")
    if value.get("class") in _FILES and local and "://" not in local:
        placed.pop("location", None)
        placed["path"] = str(folder / local)
    return placed

"""A plan as a document that other engines can drive: tasks that pass values on as files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel.base.errors import InvalidInput, not_found
from gemel.core.graph._execution import Services
from gemel.core.graph._plan import Plan, PlannedStep, sources_of
from gemel.core.graph._process import Process
from gemel.core.graph._progress import StepContext, inside
from gemel.core.graph._registry import Registry
from gemel.core.graph._step import Performer
from gemel.core.graph._surroundings import within
from gemel.core.graph._values import decode, encode

_MAGIC_JSON = b'[{"-0123456789tfnIN'
_FORMAT = "gemel-plan-1"


@dataclass(frozen=True)
class Task:
    """A step whose value is kept, with the light steps before it, as another engine runs it.

    Attributes:
        id: Id of the step.
        file: Name of the file that its value goes to.
        needs: Tasks whose values it reads.
        process: What it calls, for people.
        attempts: How often it may be tried.
        timeout: Seconds it may take, or None.
    """

    id: str
    file: str
    needs: tuple[str, ...]
    process: str
    attempts: int
    timeout: float | None


def tasks_of(plan: Plan) -> list[Task]:
    """Return the tasks of a plan in an order in which each comes after what it needs."""
    wanted = set(plan.outputs.values())
    return [
        Task(
            name,
            file_of(name),
            tuple(_kept_before(plan, step, wanted)),
            step.process.id,
            step.process.retry.attempts,
            step.process.timeout,
        )
        for name, step in plan.steps.items()
        if step.process.durable or name in wanted
    ]


def file_of(task: str) -> str:
    """Return the name of the file that holds a task's value.

    >>> file_of("outer1/runoff1")
    'outer1__runoff1.value'
    """
    return f"{task.replace('/', '__')}.value"


def to_document(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON.

    Raises:
        InvalidInput: It refers to results of this engine, which are nowhere else.
    """
    for step in plan.steps.values():
        if _refers_to_result(step.arguments):
            message = f"Step '{step.id}' starts from a stored result, which other engines do not have."
            raise InvalidInput(message, hint="Save the result to a file and let the graph read that.")
    steps = {
        name: {"process_id": step.process.id, "version": step.process.version, "arguments": dict(step.arguments)}
        for name, step in plan.steps.items()
    }
    return {"format": _FORMAT, "steps": steps, "outputs": dict(plan.outputs)}


def from_document(document: Mapping[str, Any], registry: Registry) -> Plan:
    """Return the plan that `to_document` wrote.

    Raises:
        InvalidInput: It is no such document.
        NotFound: A process is not installed here.
    """
    if document.get("format") != _FORMAT:
        raise InvalidInput("This is not a plan that gemel exported.", hint="gemel export TWIN GRAPH --to FOLDER")
    steps = {name: _step(name, item, registry) for name, item in document["steps"].items()}
    consumers: dict[str, list[str]] = {name: [] for name in steps}
    for step in steps.values():
        for source in step.sources:
            consumers[source].append(step.id)
    return Plan(steps, {name: tuple(waiting) for name, waiting in consumers.items()}, dict(document["outputs"]))


def run_task(
    plan: Plan, task: str, folder: Path, services: Services, base: Path | None = None, into: Path | None = None
) -> Path:
    """Return the file with the task's value, written whole or not at all.

    Args:
        plan: The plan.
        task: Which of its tasks.
        folder: Where the values of earlier tasks lie.
        services: What runs are made with here.
        base: Where relative references to files start.
        into: Where the value goes; default `folder`.

    Raises:
        NotFound: There is no such task, or a value that it needs is not in the folder.
        StepFailed: It failed.
    """
    known = {item.id: item for item in tasks_of(plan)}
    if task not in known:
        raise not_found("task", task, known)
    performer = Performer(plan, services.results, base, services.surroundings, services.evaluator)
    values: dict[str, Any] = {}

    def load(name: str) -> Any:
        if name not in values:
            values[name] = read_value(folder / file_of(name)) if name in known else _computed(name)
        return values[name]

    def _computed(name: str) -> Any:
        step, ground = plan.steps[name], performer.ground(load)
        light = not step.process.durable and step.sources and services.evaluator is not None
        return services.evaluator(step, ground) if light and services.evaluator else ground.compute(step, load)

    with within(services.surroundings), inside(StepContext("", task)):
        encoded = encode(_computed(task))
    target = (into or folder) / known[task].file
    staging = target.with_suffix(".part")
    staging.write_bytes(encoded.data)
    return staging.replace(target)


def read_value(path: Path) -> Any:
    """Return the value in a file that a task wrote.

    Raises:
        NotFound: There is none.
    """
    if not path.is_file():
        raise not_found("value of a task", path.name, (item.name for item in path.parent.glob("*.value")))
    data = path.read_bytes()
    return decode("json" if data[:1] in [bytes([item]) for item in _MAGIC_JSON] else "netcdf", data)


def _step(name: str, document: Mapping[str, Any], registry: Registry) -> PlannedStep:
    process = registry.get(document["process_id"])
    if not isinstance(process, Process):
        raise InvalidInput(f"'{document['process_id']}' is a graph here, where the plan has a process.")
    if process.version != document["version"]:
        raise InvalidInput(
            f"Process '{process.id}' is version {process.version} here; the plan was made with {document['version']}."
        )
    return PlannedStep(name, process, document["arguments"], tuple(dict.fromkeys(sources_of(document["arguments"]))))


def _kept_before(plan: Plan, step: PlannedStep, wanted: set[str]) -> dict[str, None]:
    """Return the tasks whose values a step needs, looking through light steps."""
    found: dict[str, None] = {}
    stack = list(reversed(step.sources))
    while stack:
        name = stack.pop()
        source = plan.steps[name]
        if source.process.durable or name in wanted:
            found[name] = None
        else:
            stack.extend(source.sources)
    return found


def _refers_to_result(value: Any) -> bool:
    if isinstance(value, Mapping):
        return set(value) == {"from_result"} or any(map(_refers_to_result, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_refers_to_result, value))

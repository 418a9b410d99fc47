"""Performing one step: its key, its inputs, retries and limits, and its result on its way to the store."""

from __future__ import annotations

import functools
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cloudpickle

from gemel.base.errors import GemelError, ResultCorrupt, StepFailed, StepTimeout
from gemel.base.ids import canonical_json, digest_bytes, digest_file
from gemel.core.graph._code import code_digest, environment_digest, environment_of
from gemel.core.graph._pinning import pinned_model
from gemel.core.graph._plan import Plan, PlannedStep
from gemel.core.graph._process import Process
from gemel.core.graph._progress import Cancelled, StepContext, call_in_worker, current_context, inside
from gemel.core.graph._registry import Registry
from gemel.core.graph._results import ResultStore, StoredResult
from gemel.core.graph._surroundings import Surroundings, surroundings, within
from gemel.core.graph._values import adapt, encode, settled
from gemel.infra.compute import Stopped, run_isolated
from gemel.infra.lake import locate

_ABSENT = object()


class Handle:
    """A step's result, wherever it is at the moment: in memory, stored, or not computed yet.

    Attributes:
        digest: Digest of the stored bytes; for a light step, its key.
    """

    def __init__(
        self, digest: str, stored: StoredResult | None, compute: Callable[[], Any], value: Any = _ABSENT
    ) -> None:
        self.digest = digest
        self.stored = stored
        self._compute = compute
        self._value = value
        self._lock = threading.RLock()

    def load(self, results: ResultStore) -> Any:
        """Return the value; a damaged stored result is forgotten and computed anew."""
        with self._lock:
            if self._value is _ABSENT:
                self._value = self._fetch(results)
            return self._value

    def release(self) -> None:
        """Let go of the value in memory; it can be loaded or computed again."""
        with self._lock:
            self._value = _ABSENT

    def _fetch(self, results: ResultStore) -> Any:
        if self.stored is not None:
            try:
                return results.load(self.stored)
            except ResultCorrupt:
                results.forget(self.stored.key)
        return self._compute()


@dataclass(frozen=True)
class Ingredients:
    """Everything that decides a step's result; its digest is the step's key."""

    process: str
    version: str
    code: str
    environment: Mapping[str, str]
    arguments: Mapping[str, Any]
    key: str

    def document(self) -> dict[str, Any]:
        """Return the ingredients as JSON, for comparing two runs."""
        return {
            "process": self.process,
            "version": self.version,
            "code": self.code,
            "environment": dict(self.environment),
            "arguments": dict(self.arguments),
        }


@dataclass
class Outcome:
    """What came of one step."""

    step: PlannedStep
    key: str
    started: float
    seconds: float = 0.0
    attempts: int = 1
    value: Any = None
    stored: StoredResult | None = None
    error: GemelError | None = None
    cancelled: bool = False
    lines: list[tuple[float, str, str]] = field(default_factory=list)


def ingredients_of(
    step: PlannedStep, handles: Mapping[str, Handle], base: Path | None, results: ResultStore
) -> Ingredients:
    """Return what decides the result of `step`; all its sources must have handles.

    Raises:
        NotFound: A file named by an argument is not there.
    """
    process = step.process
    files = {parameter.name for parameter in process.parameters if "file" in parameter.type.kinds}
    arguments = {
        name: _file_ingredient(value, base)
        if name in files and isinstance(value, str)
        else _ingredient(value, handles, results)
        for name, value in step.arguments.items()
    }
    if process.fingerprint is not None:
        arguments["gemel:depends"] = process.fingerprint(**{name: arguments[name] for name in arguments})
    children = {name: _code_of(name) for name in sorted(_children(step.arguments))}
    if children:
        arguments["gemel:children"] = children
    code, environment = code_digest(process.function), environment_digest(process.function)
    key = digest_bytes(canonical_json([process.id, process.version, code, environment, arguments]))
    return Ingredients(process.id, process.version, code, environment_of(process.function), arguments, key)


def _ingredient(value: Any, handles: Mapping[str, Handle], results: ResultStore) -> Any:
    if isinstance(value, Mapping):
        if len(value) == 1 and "from_node" in value:
            return {"input": handles[value["from_node"]].digest}
        if len(value) == 1 and "from_result" in value:
            return {"input": results.get(value["from_result"]).digest}
        if "process_graph" in value:
            return value
        return {name: _ingredient(item, handles, results) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_ingredient(item, handles, results) for item in value]
    # 1 and 1.0 are the same number to JSON, and must give the same key.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _children(value: Any, inside: bool = False) -> set[str]:
    """Return the ids of all processes in the child process graphs of an argument, at any depth."""
    if isinstance(value, Mapping):
        found = {str(value["process_id"])} if inside and "process_id" in value else set()
        inside = inside or "process_graph" in value
        return found.union(*(_children(item, inside) for item in value.values()))
    return set().union(*(_children(item, inside) for item in value)) if isinstance(value, (list, tuple)) else set()


def _code_of(process_id: str) -> str | None:
    registry = surroundings().registry or _installed()
    found = registry.find(process_id)
    if isinstance(found, Process):
        return code_digest(found.function)
    return found.digest if found is not None else None


@functools.cache
def _installed() -> Registry:
    return Registry()


_file_digests: dict[tuple[str, int, int], str] = {}


def _file_ingredient(reference: str, base: Path | None) -> dict[str, str]:
    path = locate(reference, base=base)
    status = path.stat()
    stamp = (str(path), status.st_mtime_ns, status.st_size)
    if stamp not in _file_digests:
        _file_digests[stamp] = digest_file(path)
    return {"file": _file_digests[stamp]}


Load = Callable[[str], Any]


@dataclass(frozen=True)
class Ground:
    """What an evaluator of light steps stands on.

    Attributes:
        plan: The steps of the run.
        load: Returns the value of another step, computing it when nothing has yet.
        compute: Returns what a step's process makes of its arguments, with results of other steps taken from the given
            function; a failure is blamed on the step.
    """

    plan: Plan
    load: Load
    compute: Callable[[PlannedStep, Load], Any]


Evaluator = Callable[[PlannedStep, Ground], Any]


class Performer:
    """Runs single steps for one run."""

    def __init__(
        self,
        plan: Plan,
        results: ResultStore,
        base: Path | None,
        surroundings: Surroundings,
        evaluator: Evaluator | None = None,
    ) -> None:
        self._plan = plan
        self._results = results
        self._base = base
        self._surroundings = surroundings
        self._evaluator = evaluator

    def perform(
        self, step: PlannedStep, key: str, handles: Mapping[str, Handle], context: StepContext, *, keep: bool = True
    ) -> Outcome:
        """Return the outcome of `step`, with its result kept on disk when `keep` and it succeeded."""
        outcome = Outcome(step, key, time.time())
        begun = time.perf_counter()
        try:
            with inside(context), within(self._surroundings):
                outcome.value = self._with_retries(step, handles, context, outcome)
                if keep:
                    encoded = encode(outcome.value)
                    outcome.value = settled(outcome.value, encoded)
                    outcome.stored = self._results.keep(key, encoded)
        except (Cancelled, Stopped):
            outcome.cancelled = True
        except GemelError as error:
            outcome.error = blame(step, error)
        except (Exception, SystemExit) as error:
            # A library that calls sys.exit ends its step, not the engine.
            context.lines.append((time.time(), "error", traceback.format_exc()))
            outcome.error = blame(step, error)
        outcome.seconds = time.perf_counter() - begun
        outcome.lines = context.lines
        return outcome

    def _with_retries(
        self, step: PlannedStep, handles: Mapping[str, Handle], context: StepContext, outcome: Outcome
    ) -> Any:
        retry, delay = step.process.retry, step.process.retry.delay
        while True:
            try:
                return self._once(step, handles, context)
            except retry.on as error:
                if outcome.attempts >= retry.attempts:
                    raise
                message = f"attempt {outcome.attempts} failed ({error}); next in {delay:g} s"
                context.lines.append((time.time(), "warning", message))
                if context.cancelled.wait(delay):
                    raise Cancelled from None
                outcome.attempts += 1
                delay *= retry.factor

    def _once(self, step: PlannedStep, handles: Mapping[str, Handle], context: StepContext) -> Any:
        def load(name: str) -> Any:
            return handles[name].load(self._results)

        if self._evaluator is not None and not step.process.durable and step.sources:
            return self._evaluator(step, self.ground(load))
        return self._call(step, self._arguments(step, load), context)

    def ground(self, load: Load) -> Ground:
        """Return what an evaluator stands on when values of other steps come from `load`."""
        return Ground(self._plan, load, self._blamed)

    def _blamed(self, step: PlannedStep, load: Load) -> Any:
        try:
            return self._call(step, self._arguments(step, load), current_context())
        except Exception as error:
            raise blame(step, error) from error

    def _call(self, step: PlannedStep, arguments: Mapping[str, Any], context: StepContext) -> Any:
        process = step.process
        limited = process.timeout is not None
        value = _limited(step, arguments, context) if limited else process.function(**arguments)
        return adapt(value, process.returns, "the result")

    def _arguments(self, step: PlannedStep, load: Load) -> dict[str, Any]:
        return {
            parameter.name: adapt(
                self._argument(step.arguments[parameter.name], load, parameter.type.kinds),
                parameter.type,
                f"'{parameter.name}'",
            )
            for parameter in step.process.parameters
        }

    def _argument(self, value: Any, load: Load, kinds: tuple[str, ...] = ()) -> Any:
        if isinstance(value, Mapping):
            if len(value) == 1 and "from_node" in value:
                return load(value["from_node"])
            if len(value) == 1 and "from_result" in value:
                return self._results.load(self._results.get(value["from_result"]))
            if "process_graph" in value:
                return value
            return {name: self._argument(item, load) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._argument(item, load) for item in value]
        if isinstance(value, str) and "model" in kinds:
            return pinned_model(value)
        return locate(value, base=self._base) if isinstance(value, str) and "file" in kinds else value


def _limited(step: PlannedStep, arguments: Mapping[str, Any], context: StepContext) -> Any:
    process = step.process
    assert process.timeout is not None
    module = sys.modules.get(process.function.__module__)
    if module is not None and process.function.__module__.startswith("gemel_twin_"):
        # A twin's folder is not on the worker's path, so its functions travel by value.
        cloudpickle.register_pickle_by_value(module)

    def hear(kind: str, content: tuple[Any, ...]) -> None:
        if kind == "log":
            context.lines.append((content[0], content[1], content[2]))
        else:
            context.tell(*content)

    # A twin's registry stays here: its processes may not be importable there.
    place = replace(surroundings(), registry=None, models=None)
    call = functools.partial(call_in_worker, process.function, context.run, step.id, place)
    try:
        return run_isolated(call, arguments, timeout=process.timeout, stopped=context.cancelled.is_set, hear=hear)
    except TimeoutError as error:
        if error.args:  # the function's own; that of the limit says nothing
            raise
        message = f"Step '{step.id}' ({process.id}) took longer than its limit of {process.timeout:g} s."
        hint = f"Raise the limit (@process(timeout=…) of '{process.id}') or give it less to do."
        raise StepTimeout(message, hint=hint, step=step.id, process=process.id) from error


def blame(step: PlannedStep, error: BaseException) -> GemelError:
    """Return the failure of `step` that names it, its process, the cause and the remedy."""
    if isinstance(error, StepFailed):
        return error
    cause = error.message if isinstance(error, GemelError) else f"{type(error).__name__}: {error}"
    hint = error.hint if isinstance(error, GemelError) and error.hint else "See the step's log: gemel show RUN --logs"
    code = error.code if isinstance(error, GemelError) else type(error).__name__
    context = error.context if isinstance(error, GemelError) else {}
    failed = StepFailed(f"Step '{step.id}' ({step.process.id}) failed: {cause}", hint=hint)
    failed.context = dict(context) | {"step": step.id, "process": step.process.id, "cause": code, "site": "local"}
    failed.__cause__ = error
    return failed

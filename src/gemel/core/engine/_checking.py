"""Checking a twin: what its package must have, and what must hold of the outputs of its graphs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gemel.base.errors import GemelError
from gemel.core.engine._telling import Teller
from gemel.core.graph import Run, validate
from gemel.core.stream import finite
from gemel.core.trust import CheckResult, Report, ReportStore, Verdict, evaluate, lineage, pick
from gemel.core.twin import CheckSpec, Twin, draw

# What a card must speak of before others can rely on a twin (after the model-card practice: purpose, data, limits).
_CARD_TOPICS = ("purpose", "data", "quality", "limits", "licence")


def package_checks(twin: Twin) -> Iterator[CheckResult]:
    """Yield the checks that every twin's package must pass."""
    findings = [
        f"{name}: {finding.message}"
        for name, graph in twin.graphs.items()
        for finding in validate(graph, twin.registry)
    ]
    yield _package("graphs-valid", "Every graph is valid", findings)
    card = twin.card().lower()
    missing = [topic for topic in _CARD_TOPICS if topic not in card]
    yield _package("card-complete", "The card speaks of purpose, data, quality, limits and licence", missing)
    table = twin.manifest.twin
    absent = [name for name in ("title", "summary", "licence") if not getattr(table, name)]
    yield _package("described", "twin.toml has title, summary and licence", absent)


def output_checks(twin: Twin, run: Run, load: Callable[[Run, str], Any]) -> list[CheckResult]:
    """Return the twin's checks on the outputs of one finished run of one of its graphs."""
    specs = [spec for spec in twin.manifest.checks if twin.graph(spec.graph).id == run.graph]
    outputs = _Lazy(run, load)
    return [_judge(spec, outputs) for spec in specs]


def failed_checks(twin: Twin, graph: str, error: Mapping[str, Any]) -> list[CheckResult]:
    """Return the twin's checks on a graph that could not be run: none passes, and each says why."""
    reason = f"Graph '{graph}' did not finish: {error.get('message', 'unknown reason')}"
    return [
        _result(spec, Verdict(False, None, spec.options.get("bar"), "?", reason))
        for spec in twin.manifest.checks
        if spec.graph == graph
    ]


def checked(twin: Twin, reports: ReportStore, run: Callable[[str], Run], load: Callable[[Run, str], Any]) -> Report:
    """Return the report of all the twin's checks, after running the graphs they look at.

    Args:
        twin: The twin.
        reports: Where the report is kept.
        run: Runs a graph of the twin to its end.
        load: Loads an output of a run.
    """
    results: list[CheckResult] = list(package_checks(twin))
    run_id = None
    for graph in dict.fromkeys(spec.graph for spec in twin.manifest.checks):
        ended = run(graph)
        run_id = ended.id
        if ended.state == "finished":
            results += output_checks(twin, ended, load)
        else:
            results += failed_checks(twin, graph, ended.error or {"message": ended.state})
    return reports.save(twin.id, twin.manifest.twin.version, twin.content, run_id, results)


def explained(run: Run, twin_of: Callable[[Run], Twin], outputs: Callable[[Run], Mapping[str, Any]]) -> dict[str, Any]:
    """Return why a run's numbers are what they are: lineage of its steps, and where the doubt comes from."""
    doubt = None
    with contextlib.suppress(GemelError):
        spec = next((view for view in twin_of(run).manifest.views if view.kind == "doubt"), None)
        if spec is not None and spec.output in {output.name for output in run.outputs}:
            doubt = draw(spec, outputs(run))
    return {"run": run.id, "environment": dict(run.environment), "steps": lineage(run), "doubt": doubt}


def tell_failures(teller: Teller, checks: Sequence[Mapping[str, Any]], of: str) -> None:
    """Tell each check that did not pass, once for the report or run that it is `of`."""
    for check in checks:
        if not check["passed"]:
            told = {"check": check["id"], "of": of} | {name: check.get(name) for name in ("value", "bar", "evidence")}
            teller.tell("gemel.check.failed", finite(told), identity=f"check-{of}-{check['id']}"[:200])


class _Lazy(dict[str, Any]):
    """Outputs of a run, loaded when a check first looks at them."""

    def __init__(self, run: Run, load: Callable[[Run, str], Any]) -> None:
        super().__init__()
        self._run = run
        self._load = load
        self._names = {output.name for output in run.outputs}

    def __missing__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        self[name] = self._load(self._run, name)
        return self[name]


def _judge(spec: CheckSpec, outputs: Mapping[str, Any]) -> CheckResult:
    try:
        return _result(spec, evaluate(spec.kind, pick(outputs, spec.on), spec.options))
    except GemelError as error:
        return _result(spec, Verdict(False, None, spec.options.get("bar"), "?", error.message))


def _result(spec: CheckSpec, verdict: Verdict) -> CheckResult:
    return CheckResult(spec.id, spec.title, spec.kind, spec.unit, verdict)


def _package(identifier: str, title: str, problems: list[str]) -> CheckResult:
    evidence = "; ".join(problems[:5])
    return CheckResult(identifier, title, "package", None, Verdict(not problems, len(problems), 0, "=", evidence))

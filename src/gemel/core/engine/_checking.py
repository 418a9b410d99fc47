"""Checking a twin: what its package must have, and what must hold of the outputs of its graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gemel.base.errors import GemelError
from gemel.core.graph import Run, validate
from gemel.core.trust import CheckResult, Verdict, evaluate, pick
from gemel.core.twin import CheckSpec, Twin

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

"""Checks: assertions on values, each with its bar and its evidence. Kinds are plugins of the group `gemel.checks`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gemel.base.errors import GemelError, InvalidInput, NotFound, not_found
from gemel.base.plugins import plugins


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        passed: Whether the bar is met.
        value: The value that was judged.
        bar: What it was judged against.
        comparison: How, in a sign people read: ``>=``, ``<=``, ``in``.
        evidence: One sentence on what was looked at.
    """

    passed: bool
    value: Any
    bar: Any
    comparison: str
    evidence: str = ""


class Check(Protocol):
    """A kind of check: judges a value by the options that `twin.toml` gives it."""

    def __call__(self, value: Any, options: Mapping[str, Any]) -> Verdict:
        """Return the verdict on `value`."""


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one named check of a twin."""

    id: str
    title: str
    kind: str
    unit: str | None
    verdict: Verdict

    def document(self) -> dict[str, Any]:
        """Return the result as JSON."""
        verdict = self.verdict
        return {
            "id": self.id,
            "title": self.title,
            "passed": verdict.passed,
            "value": verdict.value,
            "bar": verdict.bar,
            "unit": self.unit,
            "comparison": verdict.comparison,
            "evidence": verdict.evidence,
        }


def minimum(value: Any, options: Mapping[str, Any]) -> Verdict:
    """Return a verdict that passes when the number is at least ``bar``; a list passes when each of its numbers does.

    >>> minimum([0.9, 0.8], {"bar": 0.85}).passed
    False
    """
    numbers, bar = _numbers(value), _number(options, "bar")
    worst = min(numbers)
    return Verdict(worst >= bar, worst, bar, ">=", _evidence(numbers, "least"))


def maximum(value: Any, options: Mapping[str, Any]) -> Verdict:
    """Return a verdict that passes when the number, or each number of a list, is at most ``bar``."""
    numbers, bar = _numbers(value), _number(options, "bar")
    worst = max(numbers)
    return Verdict(worst <= bar, worst, bar, "<=", _evidence(numbers, "greatest"))


def between(value: Any, options: Mapping[str, Any]) -> Verdict:
    """Return a verdict that passes when the number, or each number of a list, lies in ``bar = [low, high]``.

    >>> between(0.91, {"bar": [0.85, 0.95]}).passed
    True
    """
    bar = options.get("bar")
    if not (isinstance(bar, list) and len(bar) == 2):
        raise InvalidInput("A check of kind 'between' needs bar = [low, high].")
    low, high = float(bar[0]), float(bar[1])
    numbers = _numbers(value)
    worst = max(numbers, key=lambda number: max(low - number, number - high))
    return Verdict(low <= worst <= high, worst, bar, "in", _evidence(numbers, "farthest from the middle"))


def holds(value: Any, options: Mapping[str, Any]) -> Verdict:
    """Return a verdict that passes when the value is true."""
    return Verdict(value is True, value, True, "is", str(options.get("evidence", "")))


def evaluate(kind: str, value: Any, options: Mapping[str, Any]) -> Verdict:
    """Return the verdict of the check `kind`; a value that cannot be judged does not pass, and says why.

    Raises:
        NotFound: No such kind of check is registered.
    """
    group = plugins("checks")
    if kind not in group.names():
        raise not_found("kind of check", kind, group.names(), command="gemel plugins checks")
    try:
        verdict: Verdict = group.get(kind)(value, options)
    except GemelError as error:
        return Verdict(False, None, options.get("bar"), "?", error.message)
    return verdict


def pick(outputs: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted `path` (output name, then keys) into a run's outputs.

    Raises:
        NotFound: A part of the path is not there.

    >>> pick({"figures": {"process": {"nse": 0.86}}}, "figures.process.nse")
    0.86
    """
    found: Any = outputs
    for part in path.split("."):
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            known = list(map(str, found)) if isinstance(found, Mapping) else []
            raise NotFound(
                f"The checked value '{path}' has no '{part}'.", hint=f"There is: {', '.join(known)}." if known else None
            ) from error
    return found.item() if hasattr(found, "item") and getattr(found, "size", 0) == 1 else found


def _numbers(value: Any) -> list[float]:
    values = value if isinstance(value, (list, tuple)) else [value]
    numbers = [float(item) for item in values if isinstance(item, (int, float)) and not isinstance(item, bool)]
    if not numbers or len(numbers) != len(values) or not all(map(math.isfinite, numbers)):
        raise InvalidInput(f"{value!r} is not a number that can be judged.")
    return numbers


def _number(options: Mapping[str, Any], name: str) -> float:
    bar = options.get(name)
    if not isinstance(bar, (int, float)) or isinstance(bar, bool):
        raise InvalidInput(f"The check needs a number as '{name}', not {bar!r}.")
    return float(bar)


def _evidence(numbers: list[float], which: str) -> str:
    return "" if len(numbers) == 1 else f"{which} of {len(numbers)} values: {', '.join(f'{n:.3g}' for n in numbers)}"

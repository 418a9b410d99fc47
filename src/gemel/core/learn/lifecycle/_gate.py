"""The gate: a challenger comes into service only when it has shown its worth on data that neither model has seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gemel.base.errors import InvalidInput, not_found
from gemel.core.learn.lifecycle._evaluation import answered, evaluated
from gemel.core.learn.metrics import metrics
from gemel.core.learn.models import Bundle
from gemel.core.learn.registry import Verdict
from gemel.core.learn.samples import Samples, leaked
from gemel.core.learn.uncertainty import loaded

_FEWEST = 20
_DRAWS = 1000


@dataclass(frozen=True)
class Gate:
    """What a challenger has to show.

    Attributes:
        metric: By which it is held against the champion.
        margin: Share by which it has to be better; 0 for any gain, less than 0 to allow a loss.
        bars: Bounds on figures, such as `{"r2": {"minimum": 0.8}, "coverage_90": {"minimum": 0.8}}`.
        fewest: Least number of samples to judge by.
    """

    metric: str = "rmse"
    margin: float = 0.0
    bars: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    fewest: int = _FEWEST

    def check(self) -> None:
        """Refuse gates that nothing can pass, or that everything does.

        Raises:
            InvalidInput: A bar is malformed or the margin cannot be.
            NotFound: There is no such metric.
        """
        known = metrics()
        if self.metric not in known:
            raise not_found("metric", self.metric, known)
        if not math.isfinite(self.margin) or self.fewest < 1:
            raise InvalidInput("A gate has a finite margin and looks at one sample or more.")
        for name, bar in self.bars.items():
            if not isinstance(bar, Mapping) or not bar or set(bar) - {"minimum", "maximum"}:
                raise InvalidInput(f"The bar on '{name}' is {bar!r}.", hint="{ minimum = 0.8 } or { maximum = 2.0 }")


def challenged(
    challenger: Bundle, champion: Bundle | None, samples: Samples, gate: Gate
) -> tuple[list[Verdict], dict[str, Any]]:
    """Return the verdicts on a challenger, and the figures of both models.

    The verdicts: there are enough samples; none of them was seen in the training of the challenger or of the champion;
    the challenger's metric is better than the champion's by the margin; every bar holds.

    Args:
        challenger: Who wants to come into service.
        champion: Who is in service; None where nobody is.
        samples: Held out.
        gate: What has to be shown.
    """
    gate.check()
    figures: dict[str, Any] = {"challenger": evaluated(challenger, samples)}
    verdicts = [
        _enough(len(samples), gate),
        _unseen("challenger", challenger, samples),
        *(_bar(name, bar, figures["challenger"]) for name, bar in gate.bars.items()),
    ]
    if champion is not None:
        figures["champion"] = evaluated(champion, samples)
        figures["gain"] = _gain_interval(challenger, champion, samples)
        verdicts += [_unseen("champion", champion, samples), _better(figures, gate)]
    return verdicts, figures


def _enough(count: int, gate: Gate) -> Verdict:
    evidence = f"{count} held-out samples, {gate.fewest} or more are wanted"
    return Verdict("enough-samples", count >= gate.fewest, count, gate.fewest, evidence)


def _unseen(who: str, bundle: Bundle, samples: Samples) -> Verdict:
    count = leaked(bundle.seen, samples)
    evidence = f"{count} of {len(samples)} samples were seen in the training of the {who}"
    return Verdict(f"unseen-by-{who}", count == 0, count, 0, evidence)


def _bar(name: str, bar: Mapping[str, float], figures: Mapping[str, float]) -> Verdict:
    value = figures.get(name)
    if value is None:
        return Verdict(f"bar-{name}", False, None, None, f"no figure '{name}'; there are {', '.join(figures)}")
    low, high = bar.get("minimum", -math.inf), bar.get("maximum", math.inf)
    wanted = " and ".join(f"{kind} {limit:g}" for kind, limit in bar.items())
    return Verdict(
        f"bar-{name}", low <= value <= high, value, next(iter(bar.values())), f"{name} = {value:g}, {wanted}"
    )


def _better(figures: Mapping[str, Mapping[str, float]], gate: Gate) -> Verdict:
    ours, theirs = figures["challenger"][gate.metric], figures["champion"][gate.metric]
    how = metrics()[gate.metric].better
    if how == "zero":
        ours, theirs = abs(ours), abs(theirs)
    scale = abs(theirs)
    gain = (ours - theirs if how == "more" else theirs - ours) / scale if scale > 0.0 else 0.0
    passed = math.isfinite(gain) and gain > gate.margin
    evidence = (
        f"{gate.metric} {ours:.4g} beside the champion's {theirs:.4g}: gain {gain:+.2%}, more than {gate.margin:.2%}"
    )
    return Verdict("better-than-champion", passed, gain, gate.margin, evidence)


def _gain_interval(challenger: Bundle, champion: Bundle, samples: Samples) -> dict[str, float]:
    """Return the gain in mean absolute error with its 90 % interval, by a paired bootstrap (Efron & Tibshirani 1993, 10).

    Told beside the verdict, so that a gain that may be chance is seen as one.
    """
    misses = [_misses(bundle, samples) for bundle in (challenger, champion)]
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(samples), (_DRAWS, len(samples)))
    ours, theirs = (item[drawn].mean(axis=1) for item in misses)
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = np.where(theirs > 0.0, (theirs - ours) / theirs, 0.0)
    low, high = np.quantile(gains, [0.05, 0.95])
    before = float(misses[1].mean())
    gain = (before - float(misses[0].mean())) / before if before > 0.0 else 0.0
    return {"mae": gain, "low_90": float(low), "high_90": float(high)}


def _misses(bundle: Bundle, samples: Samples) -> Any:
    answer = answered(loaded(bundle), samples)
    found = np.zeros(len(samples))
    for name, truth in samples.outputs.items():
        wrong = np.abs(answer[name].astype(np.float64) - truth) if truth.dtype.kind == "f" else answer[name] != truth
        found += np.asarray(wrong, dtype=np.float64).reshape(len(samples), -1).mean(axis=1)
    return found

"""Drift: whether samples come from another distribution than the reference, and whether errors have grown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput

Series = NDArray[np.float64]
_FEWEST = 8
_BINS = 10


@dataclass(frozen=True)
class Drift:
    """One series beside its reference.

    Attributes:
        name: `inputs/PORT`, `answers/PORT` or `errors/PORT`.
        statistic: Largest distance of the two distribution functions (Kolmogorov-Smirnov); of errors, their ratio of means.
        p: Chance of as much or more without any drift, corrected for looking at several series (Holm 1979).
        stability: Population stability index (1); above 0.25 is called a large shift in credit scoring, where it comes from.
        drifted: Whether p is below the level.
    """

    name: str
    statistic: float
    p: float
    stability: float
    drifted: bool


@dataclass(frozen=True)
class Monitoring:
    """What monitoring found.

    Attributes:
        data: Inputs beside those of the training.
        answers: Answers beside those of the training.
        performance: Errors beside those on held-out data; empty where the truth is not known.
        samples: How many were looked at.
        level: Chance of a false alarm, for each of the three.
    """

    data: Sequence[Drift]
    answers: Sequence[Drift]
    performance: Sequence[Drift]
    samples: int
    level: float

    @property
    def drifted(self) -> list[str]:
        """Return the names of what drifted."""
        return [item.name for item in (*self.data, *self.answers, *self.performance) if item.drifted]

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        told = {name: [asdict(item) for item in getattr(self, name)] for name in ("data", "answers", "performance")}
        return told | {"drifted": self.drifted, "samples": self.samples, "level": self.level}


def monitored(reference: Mapping[str, Any], now: Mapping[str, Any], *, level: float = 0.01) -> Monitoring:
    """Return what has drifted between two sets of series as `reference_of` makes them.

    Inputs and answers are held against the reference by the two-sample Kolmogorov-Smirnov test; errors by a one-sided
    Mann-Whitney test, since only larger ones are bad news.

    Args:
        reference: Of the training.
        now: Of the samples that are looked at.
        level: Chance of a false alarm.

    Raises:
        InvalidInput: Fewer than eight samples, or a level that is none.
    """
    count = min((len(values) for values in now.values()), default=0)
    if count < _FEWEST or not 0.0 < level < 1.0:
        raise InvalidInput(f"Drift is not told from {count} samples at a level of {level}.", hint="Take 8 or more.")
    groups = {
        part: sorted(name for name in reference if name in now and name.startswith(f"{part}/")) for part in _PARTS
    }
    found = {
        part: compared({name: (reference[name], now[name]) for name in names}, level=level, larger=part == "errors")
        for part, names in groups.items()
    }
    return Monitoring(found["inputs"], found["answers"], found["errors"], count, level)


def compared(pairs: Mapping[str, tuple[Series, Series]], *, level: float, larger: bool = False) -> list[Drift]:
    """Return each series beside its reference, with p-values corrected for how many there are (Holm 1979).

    Args:
        pairs: Reference and present values by name.
        level: Chance of calling anything drifted that is not.
        larger: Look only for larger values.
    """
    if not pairs:
        return []
    tested = {name: (_grown if larger else _moved)(*pair) for name, pair in pairs.items()}
    order = sorted(tested, key=lambda name: tested[name][1])
    found, floor = {}, 0.0
    for place, name in enumerate(order):
        statistic, p = tested[name]
        floor = max(floor, min(1.0, p * (len(order) - place)))
        found[name] = Drift(name, statistic, floor, population_stability(*pairs[name]), floor < level)
    return [found[name] for name in pairs]


def population_stability(reference: Series, now: Series, bins: int = _BINS) -> float:
    """Return the population stability index sum (q - p) ln(q / p) over bins with equal shares of the reference.

    It is the symmetrised Kullback-Leibler divergence of the two histograms (Jeffreys 1946); half a count is added to
    each bin, so that an empty one does not make it infinite.

    >>> population_stability(np.arange(1000.0), np.arange(1000.0))
    0.0
    """
    edges = np.unique(np.quantile(reference, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    shares = []
    for values in (reference, now):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1) + 0.5
        shares.append(counts / counts.sum())
    then, present = shares
    return float(np.sum((present - then) * np.log(present / then)))


def _moved(reference: Series, now: Series) -> tuple[float, float]:
    found: Any = scipy.stats.ks_2samp(reference, now)
    return float(found.statistic), float(found.pvalue)


def _grown(reference: Series, now: Series) -> tuple[float, float]:
    before = float(np.mean(reference))
    ratio = float(np.mean(now)) / before if before > 0.0 else float("inf") if np.any(now > 0.0) else 1.0
    if np.ptp(np.concatenate([reference, now])) == 0.0:
        return ratio, 1.0
    return ratio, float(scipy.stats.mannwhitneyu(now, reference, alternative="greater").pvalue)


_PARTS = ("inputs", "answers", "errors")

"""Splits: which samples train, stop, calibrate and judge a model; recorded by digest, so that leaks are found later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput, did_you_mean
from gemel.base.ids import digest_bytes
from gemel.core.learn.samples._samples import Samples

#: What samples are for: learning, stopping and choosing, making intervals honest, and judging.
PARTS = ("train", "validation", "calibration", "test")
_SHARES = {"train": 0.7, "validation": 0.15, "test": 0.15}
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class SplitRule:
    """How samples are parted.

    Attributes:
        by: `random` (equal samples stay together), `time` (in the order of the labels, training first), `group` (whole
            groups), or `periods` (`periods = {train = "1980/1984", test = "1985/1988"}`).
        shares: Share of each part; they add up to 1 or less.
        seed: Of random parting.
        gap: Samples left out between parts in time, so that what lingers in one is not seen in the other.
        periods: Begin and end of each part, both included, for `periods`.
        along: Dimension that counts samples; default `sample`, `time` or `t`, whichever is there.
        group: Variable of what belongs together, for `group`.
    """

    by: str = "random"
    shares: Mapping[str, float] = field(default_factory=lambda: dict(_SHARES))
    seed: int = 0
    gap: int = 0
    periods: Mapping[str, str] = field(default_factory=dict)
    along: str = ""
    group: str = ""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> SplitRule:
        """Return the rule that a description's table `split` spells.

        >>> SplitRule.read({"by": "time", "gap": 5}).gap
        5

        Raises:
            InvalidInput: A key is unknown, or shares or parts cannot be.
        """
        known = {item.name for item in fields(cls)}
        for name in document:
            if name not in known:
                raise InvalidInput(f"A split has no '{name}'.", hint=did_you_mean(name, known))
        rule = cls(**document)
        rule.check()
        return rule

    def check(self) -> None:
        """Refuse rules that part nothing.

        Raises:
            InvalidInput: The rule cannot be.
        """
        parts = {**self.shares, **self.periods}
        unknown = set(parts) - set(PARTS)
        if self.by not in _WAYS or unknown or self.gap < 0:
            raise InvalidInput(
                f"No split by '{self.by}' into {', '.join(parts)} with a gap of {self.gap}.",
                hint=f"By one of {', '.join(_WAYS)}; parts are {', '.join(PARTS)}.",
            )
        shares = list(self.shares.values())
        if min(shares) < 0 or sum(shares) > 1.0 + 1e-9 or (self.by == "periods") != bool(self.periods):
            raise InvalidInput(
                "Shares of a split are 0 or more and add up to 1 or less; `periods` go with by = 'periods'."
            )

    def document(self) -> dict[str, Any]:
        """Return the rule as JSON."""
        return {
            "by": self.by,
            "shares": dict(self.shares),
            "seed": self.seed,
            "gap": self.gap,
            "periods": dict(self.periods),
            "along": self.along,
            "group": self.group,
        }


@dataclass(frozen=True, eq=False)
class Split:
    """Samples in their parts.

    Attributes:
        parts: Samples by part; every part that the rule names has at least one.
        rule: How they were parted.
    """

    parts: Mapping[str, Samples]
    rule: SplitRule

    def part(self, name: str) -> Samples:
        """Return one part.

        Raises:
            InvalidInput: The split has no such part.
        """
        if name not in self.parts:
            raise InvalidInput(f"The split has no part '{name}'.", hint=f"It has {', '.join(self.parts)}.")
        return self.parts[name]

    def record(self) -> dict[str, Any]:
        """Return what is kept of the split with a model: rule, and number, digest, first and last label of each part."""
        return {"rule": self.rule.document(), "parts": {name: _told(part) for name, part in self.parts.items()}}

    def seen(self) -> NDArray[np.uint64]:
        """Return the sorted digests of all samples that a model has seen in training: train, validation, calibration."""
        seen = [part.rows for name, part in self.parts.items() if name != "test"]
        return np.unique(np.concatenate(seen)) if seen else np.empty(0, np.uint64)


def split(samples: Samples, rule: SplitRule) -> Split:
    """Return samples in parts; the same samples and rule give the same parts, in whatever order the samples come.

    Raises:
        InvalidInput: Too few samples for the parts, or the rule needs labels or groups that the samples lack.
    """
    chosen = {name: np.sort(indices) for name, indices in _WAYS[rule.by](samples, rule).items()}
    for name, indices in chosen.items():
        if len(indices) == 0:
            raise InvalidInput(f"The part '{name}' of {len(samples)} samples is empty.", hint="Give it a larger share.")
    return Split({name: samples.take(indices) for name, indices in chosen.items()}, rule)


def leaked(seen: NDArray[np.uint64], judged: Samples) -> int:
    """Return how many samples that a model is to be judged by were among those that it was trained with.

    Args:
        seen: `Split.seen` of the model's training, sorted.
        judged: Samples of the judgement.
    """
    return int(np.isin(judged.rows, seen).sum())


def _random(samples: Samples, rule: SplitRule) -> dict[str, Indices]:
    return _by_key(samples.rows, rule)


def _by_group(samples: Samples, rule: SplitRule) -> dict[str, Indices]:
    if samples.groups is None:
        raise InvalidInput("These samples have no groups to be split by.", hint="Say which variable groups them.")
    return _by_key(np.unique(samples.groups, return_inverse=True)[1].astype(np.uint64), rule)


def _by_key(keys: NDArray[np.uint64], rule: SplitRule) -> dict[str, Indices]:
    distinct, belongs = np.unique(keys, return_inverse=True)
    order = np.random.default_rng(rule.seed).permutation(len(distinct))
    place = np.empty(len(distinct), dtype=np.int64)
    place[order] = np.arange(len(distinct))
    return {
        name: np.flatnonzero((place[belongs] >= begin) & (place[belongs] < end))
        for name, (begin, end) in _spans(len(distinct), rule).items()
    }


def _by_time(samples: Samples, rule: SplitRule) -> dict[str, Indices]:
    if samples.labels is None:
        raise InvalidInput(
            "These samples have no times to be split by.", hint="Give the counting dimension a coordinate."
        )
    order = np.argsort(samples.labels, kind="stable")
    spans = _spans(len(samples), rule)
    return {name: order[begin + (rule.gap if begin else 0) : end] for name, (begin, end) in spans.items()}


def _by_periods(samples: Samples, rule: SplitRule) -> dict[str, Indices]:
    if samples.labels is None or samples.labels.dtype.kind != "M":
        raise InvalidInput("A split by periods needs samples with times.")
    found = {}
    for name, period in rule.periods.items():
        begin, _, end = period.partition("/")
        first = np.datetime64(begin)
        # The end is included whole: "1984" means until the last instant of that year.
        last = np.datetime64(end or begin) + 1
        found[name] = np.flatnonzero((samples.labels >= first) & (samples.labels < last))
    return found


def _spans(count: int, rule: SplitRule) -> dict[str, tuple[int, int]]:
    ends = np.round(np.cumsum([rule.shares.get(name, 0.0) for name in PARTS]) * count).astype(int)
    begins = [0, *ends[:-1]]
    return {
        name: (int(begin), int(end))
        for name, begin, end in zip(PARTS, begins, ends, strict=True)
        if rule.shares.get(name, 0.0) > 0.0
    }


def _told(part: Samples) -> dict[str, Any]:
    told: dict[str, Any] = {"samples": len(part), "digest": part.digest}
    if part.labels is not None:
        told |= {"first": str(part.labels.min()), "last": str(part.labels.max())}
    told["rows"] = digest_bytes(np.unique(part.rows).tobytes())
    return told


_WAYS: dict[str, Callable[[Samples, SplitRule], dict[str, Indices]]] = {
    "random": _random,
    "time": _by_time,
    "group": _by_group,
    "periods": _by_periods,
}

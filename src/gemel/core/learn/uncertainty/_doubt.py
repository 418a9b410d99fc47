"""How a model is to tell its doubt: the table `uncertainty` of a description, read and checked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from gemel.base.errors import InvalidInput, did_you_mean

METHODS = ("none", "ensemble", "dropout", "quantile")


@dataclass(frozen=True)
class Doubt:
    """How doubt is made.

    Attributes:
        method: `none`; `ensemble` (Lakshminarayanan et al. 2017), `dropout` (Gal & Ghahramani 2016), `quantile`
            (Koenker & Bassett 1978).
        members: Models of an ensemble.
        passes: Forward passes with dropout on.
        rate: Share of units that dropout leaves out.
        noise: Whether members and passes learn the noise of the outputs too, as the variance of a normal distribution;
            without it their spread is the model's doubt alone.
        resample: Whether each member learns from samples drawn with replacement (Breiman 1996); None: networks do not,
            for their random weights set them apart, others do.
        levels: Levels of the quantiles that are learned or calibrated, rising.
        conformal: Whether intervals are calibrated on held-out samples, so that they cover what they promise.
        share: Share of the training part that is held out for it when the split has no part `calibration`.
    """

    method: str = "none"
    members: int = 5
    passes: int = 50
    rate: float = 0.1
    noise: bool = True
    resample: bool | None = None
    levels: tuple[float, ...] = (0.05, 0.5, 0.95)
    conformal: bool = False
    share: float = 0.2

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Doubt:
        """Return what a table spells; `level = 0.9` stands for the median and an interval of that probability.

        >>> Doubt.read({"method": "ensemble", "level": 0.8}).levels
        (0.1, 0.5, 0.9)

        Raises:
            InvalidInput: A key is unknown, or a value cannot be.
        """
        known = {item.name for item in fields(cls)}
        for name in document:
            if name not in known and name != "level":
                message = f"The uncertainty of a model has no '{name}'."
                raise InvalidInput(message, hint=did_you_mean(name, known) or f"It has {', '.join(sorted(known))}.")
        given = {name: value for name, value in document.items() if name != "level"}
        if "level" in document:
            given.setdefault("levels", _around(document["level"]))
        if "levels" in given:
            given["levels"] = tuple(given["levels"])
        doubt = cls(**given)
        doubt.check()
        return doubt

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidInput: Says what.
        """
        if self.method not in METHODS:
            message = f"There is no uncertainty by '{self.method}'."
            raise InvalidInput(message, hint=did_you_mean(self.method, METHODS) or f"There is {', '.join(METHODS)}.")
        if self.members < 2 or self.passes < 2 or not 0.0 < self.rate < 1.0 or not 0.0 < self.share < 1.0:
            raise InvalidInput("Uncertainty needs members and passes of 2 or more, and 0 < rate, share < 1.")
        check_levels(self.levels)
        if self.conformal and not _symmetric(self.levels):
            message = f"Levels {list(self.levels)} are no intervals around the median, which conformal = true needs."
            raise InvalidInput(message, hint="Such as levels = [0.05, 0.25, 0.5, 0.75, 0.95].")


def check_levels(levels: tuple[float, ...]) -> None:
    """Refuse levels that are no quantiles.

    Raises:
        InvalidInput: They are not between 0 and 1, or do not rise.
    """
    rising = all(low < high for low, high in itertools.pairwise(levels))
    if not levels or not rising or levels[0] <= 0.0 or levels[-1] >= 1.0:
        raise InvalidInput(f"Levels of quantiles lie between 0 and 1 and rise; got {list(levels)}.")


def _around(level: Any) -> tuple[float, ...]:
    if not isinstance(level, (int, float)) or not 0.0 < level < 1.0:
        raise InvalidInput(f"level = {level!r} is no probability between 0 and 1.", hint="Write 0.9.")
    tail = round((1.0 - level) / 2.0, 12)
    return (tail, 0.5, round(1.0 - tail, 12))


def _symmetric(levels: tuple[float, ...]) -> bool:
    return len(levels) > 1 and all(
        abs(low + high - 1.0) < 1e-9 for low, high in zip(levels, reversed(levels), strict=True)
    )

"""Adaptive conformal prediction on streams: intervals keep their promise in the long run, whatever drifts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemel.base.errors import InvalidInput


@dataclass(frozen=True)
class AdaptiveConformal:
    """State of adaptive conformal inference after some truths; every truth gives the next state.

    The level moves by alpha_t+1 = alpha_t + gamma (alpha - error_t), error_t being 1 when the interval missed (Gibbs &
    Candès 2021, eq. 2). Then, without any assumption on the data, the share of misses over T truths differs from alpha by
    at most (max(alpha_1, 1 - alpha_1) + gamma) / (gamma T) (their proposition 4.1).

    Attributes:
        level: Probability that intervals are to have, 1 - alpha.
        rate: Gamma: how fast it adapts; 0.005 is the authors'.
        window: How many of the newest scores count.
        missing: alpha_t, the share of misses aimed at now.
        scores: Newest scores, oldest first.
        seen: Truths seen.
        missed: How many of them lay outside.

    >>> state = AdaptiveConformal(level=0.9, scores=tuple(float(score) for score in range(1, 20)))
    >>> state.widening
    18.0
    """

    level: float = 0.9
    rate: float = 0.005
    window: int = 500
    missing: float | None = None
    scores: tuple[float, ...] = ()
    seen: int = 0
    missed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0.0 < self.level < 1.0 or not self.rate > 0.0 or self.window < 2:
            raise InvalidInput("Adaptive intervals need 0 < level < 1, rate > 0 and a window of 2 or more.")

    @property
    def alpha(self) -> float:
        """Return the share of misses aimed at now; it may leave [0, 1] for a while."""
        return 1.0 - self.level if self.missing is None else self.missing

    @property
    def widening(self) -> float:
        """Return by how much an interval is widened now: infinite while nothing else would do, -infinite for none at all."""
        if self.alpha >= 1.0:
            return -math.inf
        place = math.ceil(round((len(self.scores) + 1) * (1.0 - self.alpha), 9))
        return math.inf if place > len(self.scores) else sorted(self.scores)[max(place, 1) - 1]

    def interval(self, low: float, high: float) -> tuple[float, float]:
        """Return the interval around what a model foretold; low = high for a model that answers one number."""
        return low - self.widening, high + self.widening

    def observed(self, low: float, high: float, truth: float) -> AdaptiveConformal:
        """Return the state after a truth.

        Args:
            low: Lower bound that the model foretold, before widening.
            high: Its upper bound.
            truth: What came.
        """
        score = max(low - truth, truth - high)
        missed = score > self.widening
        alpha = self.alpha + self.rate * ((1.0 - self.level) - missed)
        scores = (*self.scores, score)[-self.window :]
        return dataclasses.replace(
            self, missing=alpha, scores=scores, seen=self.seen + 1, missed=self.missed + int(missed)
        )

    def document(self) -> dict[str, Any]:
        """Return the state as JSON; `read` turns it back."""
        return dataclasses.asdict(self) | {"scores": list(self.scores)}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> AdaptiveConformal:
        """Return the state that JSON spells."""
        return cls(**{**document, "scores": tuple(document.get("scores", ()))})

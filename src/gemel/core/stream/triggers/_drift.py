"""Drift: whether the newest values of a variable still come from the distribution that the reference came from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy.stats import ks_2samp

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput
from gemel.core.stream.events import Event
from gemel.core.stream.triggers._watchers import Firing, numbers

_MOST = 20_000  # values that the document may hold: it stays below half a megabyte


@dataclass(frozen=True)
class Drift:
    """Fires when a variable's distribution has changed; then a new reference is gathered from what comes.

    The first `reference` values make the reference. "ks" compares it with each following, disjoint window by the
    two-sample Kolmogorov–Smirnov test (Smirnov 1948; scipy.stats.ks_2samp, two-sided): any change of the
    distribution, at the cost of a window's delay. "page-hinkley" sums what values, counted in standard deviations
    of the reference, lie above (below) their running mean by more than `delta`, and fires when the sum has risen by
    `threshold` above its minimum (Page 1954; Hinkley 1971): a change of the mean, as soon as it shows.

    Attributes:
        variable: Name in the events' data; null and missing values do not count.
        method: "ks" or "page-hinkley".
        reference: How many values make the reference.
        window: For "ks": how many make a window.
        level: For "ks": the chance that a window without drift fires, when values are independent.
        comparisons: For "ks": how many windows (or variables) share that chance; each is tested at
            level / comparisons (Bonferroni).
        delta: For "page-hinkley": the change of the mean that is tolerated, in standard deviations.
        threshold: For "page-hinkley": in standard deviations; 10 with delta 0.5 lets about 70,000 independent normal
            values pass between two false alarms (Siegmund 1985: about e^{2δ(h+1.166)}/(4δ²)).
        kind: What the cause is called.
    """

    variable: str
    method: Literal["ks", "page-hinkley"] = "ks"
    reference: int = 500
    window: int = 100
    level: float = 0.001
    comparisons: int = 1
    delta: float = 0.5
    threshold: float = 10.0
    kind: str = "drift"

    def __post_init__(self) -> None:
        """Refuse what cannot be tested."""
        if self.method not in ("ks", "page-hinkley"):
            raise InvalidInput(f"'{self.method}' is no test of drift.", hint="Write ks or page-hinkley.")
        if min(self.reference, self.window) < 2 or self.reference + self.window > _MOST:
            message = f"reference = {self.reference} and window = {self.window} cannot be compared."
            raise InvalidInput(message, hint=f"At least 2 each, at most {_MOST:,} together.")
        if not 0 < self.level < 1 or self.comparisons < 1:
            raise InvalidInput(f"level = {self.level} is not a probability, or comparisons < 1.", hint="Write 0.001.")
        if self.delta < 0 or not self.threshold > 0:
            raise InvalidInput("delta must not be negative, threshold must be positive.")

    def observe(self, document: Mapping[str, Any], events: Sequence[Event]) -> tuple[dict[str, Any], list[Firing]]:
        """Return the reference and the running sums after these events, and what fired."""
        state, fired = _opened(document), list[Firing]()
        for event in events:
            for value in numbers(event, self.variable):
                told = self._ks(state, value) if self.method == "ks" else self._page_hinkley(state, value)
                if told is not None:
                    given = told | {"variable": self.variable, "method": self.method, "position": event.position}
                    fired.append(
                        Firing(
                            self.kind,
                            str(event.position),
                            event.time,
                            given | {"time": iso(event.time)},
                            event.position,
                        )
                    )
                    state = _opened({})
                    break  # the rest of a block is of the same instant's making: one event causes one run
        return state, fired

    def _ks(self, state: dict[str, Any], value: float) -> dict[str, Any] | None:
        if len(state["reference"]) < self.reference:
            state["reference"].append(value)
            return None
        state["window"].append(value)
        if len(state["window"]) < self.window:
            return None
        test = ks_2samp(state["reference"], state["window"])
        state["window"] = []
        bar = self.level / self.comparisons
        if not test.pvalue < bar:
            return None
        return {"statistic": float(test.statistic), "p": float(test.pvalue), "level": bar}

    def _page_hinkley(self, state: dict[str, Any], value: float) -> dict[str, Any] | None:
        if state["count"] < self.reference:
            _welford(state, value)
            return None
        spread = math.sqrt(state["squares"] / (self.reference - 1)) or 1.0
        state["count"] += 1
        state["mean"] += (value - state["mean"]) / state["count"]
        score = (value - state["mean"]) / spread
        # Both sums stand above their own minimum: m − min m of the paper.
        state["up"] = max(0.0, state["up"] + score - self.delta)
        state["down"] = max(0.0, state["down"] - score - self.delta)
        highest = max(state["up"], state["down"])
        if highest <= self.threshold:
            return None
        direction = "up" if state["up"] >= state["down"] else "down"
        return {"statistic": highest, "threshold": self.threshold, "direction": direction}


def _opened(document: Mapping[str, Any]) -> dict[str, Any]:
    state = {"reference": [], "window": [], "count": 0, "mean": 0.0, "squares": 0.0, "up": 0.0, "down": 0.0}
    state |= dict(document)
    return state | {name: list(state[name]) for name in ("reference", "window")}  # type: ignore[call-overload]


def _welford(state: dict[str, Any], value: float) -> None:
    """Add a value to the mean and the sum of squared deviations (Welford 1962)."""
    state["count"] += 1
    before = value - state["mean"]
    state["mean"] += before / state["count"]
    state["squares"] += before * (value - state["mean"])

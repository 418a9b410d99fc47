"""How a training went, and whether a checkpoint is of the same training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.core.learn.training._folder import Entry
from gemel.core.learn.training._objective import Work
from gemel.core.learn.training._settings import Settings


@dataclass(frozen=True)
class Outcome:
    """How a training went.

    Attributes:
        steps: Steps done, those before a resumption included.
        reason: `finished`, `early` (no gain any more) or `stopped` (by the control file).
        seconds: What it took, those before a resumption included.
        samples: Samples seen, over all processes.
        curve: An entry by evaluation: `step`, `loss` (mean since the entry before), parts of it by name, `learning_rate`,
            `validation/NAME` by measure (None where it is no finite number), and `notes` where something happened.
        best: Measures of the weights that the module holds.
        resumed_from: Step that it went on from; None where it began.
    """

    steps: int
    reason: str
    seconds: float
    samples: int
    curve: tuple[Entry, ...]
    best: Mapping[str, float]
    resumed_from: int | None


def outcome_of(state: Mapping[str, Any], curve: list[Entry]) -> Outcome:
    """Return how a training went, of its last checkpoint and its curve."""
    best = {"loss": curve[-1]["loss"]} if curve else {}
    if state["best"] is not None:
        best = dict(state["best"]["measures"])
    samples = state["step"] * state["settings"]["batch"]
    return Outcome(state["step"], state["reason"], state["seconds"], samples, tuple(curve), best, None)


def refuse_others(state: Mapping[str, Any], work: Work, settings: Settings, seed: int, folder: Path | None) -> None:
    """Refuse a checkpoint of another training.

    Raises:
        InvalidInput: It is; the message says what differs.
    """
    found = settings.differences(state["settings"])
    found += [f"seed: {state['seed']} -> {seed}"] if state["seed"] != seed else []
    told = dict(getattr(work.batches, "told", {}))
    found += [f"data: {state['data']} -> {told}"] if state["data"] != told else []
    old = {name: tuple(value.shape) for name, value in state["module"].items()}
    new = {name: tuple(value.shape) for name, value in work.objective.module.state_dict().items()}
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    found += [f"weights {name}: {old.get(name)} -> {new.get(name)}" for name in names[:3]]
    if found:
        raise InvalidInput(
            f"The checkpoint in {folder} is of another training: {'; '.join(found)}.",
            hint="Take another folder, or remove this one to begin anew.",
            differences=found,
        )


def told(value: float) -> float | None:
    """Return a number as JSON can tell it: None for what is not finite."""
    return value if math.isfinite(value) else None

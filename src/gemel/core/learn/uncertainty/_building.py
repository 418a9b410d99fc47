"""From a description to a learner whose doubt is as the description says, and from a bundle to its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemel.core.learn.models import Bundle, Description, Learner, Training, kind
from gemel.core.learn.samples import Split
from gemel.core.learn.uncertainty._conformal import ConformalLearner
from gemel.core.learn.uncertainty._doubt import Doubt
from gemel.core.learn.uncertainty._ensemble import EnsembleLearner


def learner_of(description: Description) -> Learner:
    """Return a learner with fresh weights, as an ensemble and with calibrated intervals where the description says so.

    Raises:
        NotFound: There is no such kind.
        InvalidInput: An option, a port, a setting or the uncertainty cannot be.
        MissingExtra: The framework of the kind is not installed.
    """
    made, doubt = kind(description.kind), Doubt.read(description.uncertainty)
    if doubt.method == "ensemble":
        resample = made.framework != "torch" if doubt.resample is None else doubt.resample
        members = [made.learner(description) for _ in range(doubt.members)]
        learner: Learner = EnsembleLearner(description, members, resample=resample)
    else:
        learner = made.learner(description)
    return ConformalLearner(description, learner, doubt) if doubt.conformal else learner


def loaded(bundle: Bundle) -> Learner:
    """Return the learner of a bundle with what it has learned.

    Raises:
        InvalidInput: The arrays are not those of the description.
    """
    learner = learner_of(bundle.description)
    learner.load(bundle.arrays)
    return learner


def learn(description: Description, parts: Split, training: Training) -> tuple[Learner, dict[str, Any]]:
    """Return a learner and how it went, after learning, and calibrating where that is asked for.

    Args:
        description: What to learn.
        parts: Samples in parts `train`, `validation` (else the training part is watched) and, where there is one,
            `calibration`.
        training: Where and with what.

    Raises:
        Diverged: The loss is no number any more.
        InvalidInput: Samples do not fit, or are too few to calibrate with.
    """
    learner = learner_of(description)
    train = parts.part("train")
    told = learner.fit(train, parts.parts.get("validation", train), training)
    if isinstance(learner, ConformalLearner) and not learner.held_out:
        learner.calibrate(parts.part("calibration"))
        told["calibration"] = len(parts.part("calibration"))
    return learner, told


def bundle_of(description: Description, learner: Learner, record: Mapping[str, Any] | None = None) -> Bundle:
    """Return what a learner has learned as a bundle."""
    return Bundle(description, learner.arrays(), dict(record or {}))

"""From data and a description to a bundle that remembers what it was trained with."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import Conflict, InvalidInput
from gemel.base.ids import digest_json
from gemel.core.graph import progress
from gemel.core.learn.lifecycle._evaluation import answered, evaluated
from gemel.core.learn.metrics import measures
from gemel.core.learn.models import Bundle, Description, Learner, Training, kind
from gemel.core.learn.monitoring import reference_of
from gemel.core.learn.samples import Samples, Split, SplitRule, split
from gemel.core.learn.uncertainty import learn

_PATIENCE_SECONDS = 0.5
_PACKAGES = {"torch": ("torch", "numpy"), "sklearn": ("scikit-learn", "numpy"), "keras": ("keras", "torch", "numpy")}


def samples_of(data: xr.Dataset, description: Description) -> Samples:
    """Return the samples of a dataset for a model.

    Raises:
        NotFound: A port has no variable.
        InvalidInput: A shape or a type does not fit.
        UnitMismatch: A unit measures something else.
    """
    rule = SplitRule.read(description.split)
    group = rule.group if rule.group and rule.group in data else None
    return Samples.of(data, description.inputs, description.outputs, along=rule.along or None, group=group)


def trained(
    data: xr.Dataset,
    description: Description,
    *,
    seed: int = 0,
    start: Bundle | None = None,
    folder: Path | None = None,
) -> Bundle:
    """Return a model trained on the parts that its description makes of the data, with figures of the test part.

    Training the same again in the same folder goes on where it was interrupted.

    Args:
        data: A variable for each port.
        description: What the model is to become.
        seed: Of weights, batches and noise.
        start: Model of the same description whose weights it goes on from; what that one saw counts as seen.
        folder: Where checkpoints and curves lie; each training has its own folder in it. None for nowhere.

    Raises:
        InvalidInput: Data or description do not fit, or `start` is of another make.
        Diverged: The loss is no number any more.
    """
    if start is not None and _make(start.description) != _make(description):
        raise InvalidInput("A training goes on from a model of the same kind, ports and options only.")
    samples = samples_of(data, description)
    parts = split(samples, SplitRule.read(description.split))
    identity = training_id(description, samples, seed, start)
    training = Training(
        seed,
        None if folder is None else folder / identity,
        None if start is None else start.arrays,
        measures(description.metrics),
    )
    learner, told = _taught(description, parts, training)
    record: dict[str, Any] = {
        "training": _without_clock(told) | {"id": identity, "seed": seed},
        "data": {"digest": samples.digest, "samples": len(samples), "dropped": samples.dropped},
        "split": parts.record(),
        "parent": None if start is None else start.digest,
        "versions": _versions(kind(description.kind).framework),
    }
    judged = parts.parts.get("test") or parts.parts.get("validation") or parts.part("train")
    bundle = Bundle(description, learner.arrays(), record, _seen(parts.seen(), start))
    if description.outputs:
        record["metrics"] = evaluated(bundle, judged, learner=learner)
    answers = answered(learner, judged) if description.outputs else {}
    return Bundle(description, bundle.arrays, record, bundle.seen, reference_of(judged, answers))


def _taught(description: Description, parts: Split, training: Training) -> tuple[Learner, dict[str, Any]]:
    """Return learner and record; the same training that runs elsewhere is waited for, and its end taken over."""
    while True:
        try:
            return learn(description, parts, training)
        except Conflict:
            progress(0.0, "the same training runs already; waiting for it")
            time.sleep(_PATIENCE_SECONDS)


def held_out(data: xr.Dataset, bundle: Bundle) -> Samples:
    """Return the test part of data, parted as the model's own were; all of it where the rule has no test part."""
    samples = samples_of(data, bundle.description)
    rule = SplitRule.read(bundle.description.split)
    parts = split(samples, rule).parts
    return parts.get("test", samples)


def training_id(description: Description, samples: Samples, seed: int, start: Bundle | None) -> str:
    """Return what names a training: the same for the same description, data, seed and beginning."""
    parts = [description.document(), samples.digest, seed, None if start is None else start.digest]
    return f"training-{digest_json(parts)[:16]}"


def _make(description: Description) -> tuple[Any, ...]:
    return description.kind, description.inputs, description.outputs, dict(description.options)


def _seen(rows: Any, start: Bundle | None) -> Any:
    return rows if start is None else np.union1d(rows, start.seen)


def _without_clock(told: dict[str, Any]) -> dict[str, Any]:
    # How long it took is told in the run; in the bundle it would give equal models unequal bytes.
    return {name: value for name, value in told.items() if name not in ("seconds", "rate", "resumed_from")}


def _versions(framework: str) -> dict[str, str]:
    found = {}
    for name in ("gemel", *_PACKAGES.get(framework, ())):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

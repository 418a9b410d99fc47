"""Searching the settings of a description: each trial trains, and is scored on the validation part, never on the test part."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from gemel.base.errors import InvalidInput, not_found
from gemel.base.ids import digest_json
from gemel.base.plugins import require
from gemel.core.learn.lifecycle._evaluation import evaluated
from gemel.core.learn.lifecycle._teaching import samples_of
from gemel.core.learn.metrics import measures, metrics
from gemel.core.learn.models import Bundle, Description, Training
from gemel.core.learn.samples import SplitRule, split
from gemel.core.learn.uncertainty import learn

_TABLES = ("options", "training", "uncertainty")


def searched(  # noqa: PLR0913 - one call says all of a search, by name
    data: xr.Dataset,
    description: Description,
    space: Mapping[str, Any],
    *,
    trials: int = 20,
    metric: str = "rmse",
    seed: int = 0,
    repeats: int = 1,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Return the best description that was found, its score, and all trials.

    A search that was interrupted goes on in the same folder. With several repeats, each with its own seed, a trial that
    is worse than the median of the others after its first ones is given up.

    Args:
        data: A variable for each port.
        description: What is varied.
        space: By place in the description: `{"training.learning_rate": {"low": 1e-4, "high": 0.1, "log": True}}`; a name
            without a dot is of `training`.
        trials: How many descriptions are tried.
        metric: What is measured on the validation part.
        seed: Of the draws, and of the first training of each trial.
        repeats: Trainings of each trial; its score is their mean.
        folder: Where the search is kept; None for nowhere.

    Raises:
        NotFound: There is no such metric.
        InvalidInput: The space names what a description has not, or the split has no validation part.
    """
    require("optuna", extra="ml")
    study = importlib.import_module("gemel.core.learn.search")
    if metric not in metrics():
        raise not_found("metric", metric, metrics())
    samples = samples_of(data, description)
    parts = split(samples, SplitRule.read(description.split))
    validation = parts.part("validation")

    def score(values: Mapping[str, Any], report: Any) -> float:
        tried, scores = varied(description, values), []
        for number in range(repeats):
            training = Training(seed + number, None, None, measures(tried.metrics))
            learner, _ = learn(tried, parts, training)
            found = evaluated(Bundle(tried, learner.arrays()), validation, learner=learner)
            scores.append(abs(found[metric]) if metrics()[metric].better == "zero" else found[metric])
            report(number, sum(scores) / len(scores))
        return sum(scores) / len(scores)

    more = metrics()[metric].better == "more"
    identity = digest_json([description.document(), samples.digest, dict(space), metric, seed, repeats])[:16]
    storage = None if folder is None else folder / f"search-{identity}.db"
    if storage is not None:
        storage.parent.mkdir(parents=True, exist_ok=True)
    direction = "maximize" if more else "minimize"
    found = study.search(score, space, trials=trials, storage=storage, name=identity, seed=seed, direction=direction)
    return {
        "description": varied(description, found.values).document(),
        "values": dict(found.values),
        "score": found.score,
        "metric": metric,
        "trials": [
            {"values": dict(item.values), "state": item.state, "score": item.score, "error": item.error}
            for item in found.history
        ],
    }


def varied(description: Description, values: Mapping[str, Any]) -> Description:
    """Return a description with some of its settings replaced.

    >>> told = Description.read({"kind": "mlp", "inputs": {"rain": "mm"}})
    >>> dict(varied(told, {"learning_rate": 0.1, "options.hidden": [8]}).training)
    {'learning_rate': 0.1}

    Raises:
        InvalidInput: A name is not in one of the tables options, training and uncertainty.
    """
    document = copy.deepcopy(description.document())
    for name, value in values.items():
        table, _, key = name.partition(".") if "." in name else ("training", "", name)
        if table not in _TABLES:
            raise InvalidInput(f"'{name}' cannot be searched.", hint=f"TABLE.NAME with one of {', '.join(_TABLES)}.")
        document[table][key] = value
    return Description.read(document)

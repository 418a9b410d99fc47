"""What the process model leaves over, learned by boosted trees that are kept as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro._calibrate import basin, discharge_array, scored_days
from gemel.thematic.hydro._forcing import forcing
from gemel.thematic.hydro._kernel import FEATURES, Basin, Forest, describe, fresh, predict
from gemel.thematic.hydro._periods import within
from gemel.thematic.hydro._scores import nse

Array = NDArray[np.float64]

#: Most folds that training is cut into; each fold's trees never saw that fold's years.
FOLDS = 6

_SETTINGS = {
    "n_estimators": 150,
    "learning_rate": 0.05,
    "max_depth": 4,
    "min_samples_leaf": 15,
    "max_features": 0.4,
    "subsample": 0.5,
}


def train_residual(record: xr.Dataset, parameters: xr.Dataset, seed: int = 0) -> xr.Dataset:
    """Return boosted trees (Friedman 2001) that predict the process model's residual, as flat arrays.

    The residual is that of Box-Cox transformed discharge. Features are past and present forcing and the open-loop
    model's own states and output (`FEATURES`), never an observation, so the hybrid is a simulation model. For each
    block of training years a further forest is trained on the other years only: its corrections of that block are
    out of sample. All leaves are scaled by the share (`residual_trust`) of these corrections that would have been best.

    Args:
        record: Daily record.
        parameters: Result of `calibrate`; its training period is used.
        seed: Seed of the trees.

    Returns:
        Dataset (fold, tree, node): `tree_feature`, `tree_threshold`, `tree_left`, `tree_right`, `tree_value`,
        `tree_root` (fold, tree), `tree_start` (fold). Fold 0 saw all training days, fold k all but those of block k.

    Raises:
        InvalidInput: Too little is left to train on.
    """
    train = parameters.attrs["train"]
    scored = scored_days(record, train)
    flow, rows = open_loop(record, parameters)
    view = basin(parameters)
    z = forth(flow, view.offset, view.power)
    observed = forth(record["discharge"].values, view.offset, view.power)
    # High flows count more, so that the loss lies between that of transformed and that of plain discharge.
    weight = flow ** ((1.0 - view.power) / 2.0)
    block = fold_of_day(record, train)
    chosen = [scored] + [scored & (block != k) for k in range(1, int(block.max()) + 1)]
    forests = [export_trees(_fit(rows[m], (observed - z)[m], weight[m], seed)) for m in chosen]
    unseen = np.zeros(len(z))
    for k in range(1, len(forests)):
        unseen[block == k] = predict(rows[block == k], forests[k])
    trust = _trust(z[scored], unseen[scored], observed[scored], view)
    out = forest_dataset([f._replace(value=f.value * trust, start=f.start * trust) for f in forests])
    out.attrs = {
        "features": ",".join(FEATURES),
        "residual_seed": seed,
        "residual_train": train,
        "residual_trust": trust,
    }
    return out


def _trust(z: Array, correction: Array, observed: Array, view: Basin) -> float:
    """Return the share (0 to 1) of an out-of-sample correction with the best mean NSE, plain and transformed."""
    shares = np.linspace(0.0, 1.0, 21)
    flow = back(observed, view.offset, view.power)
    scores = [
        nse(observed, z + s * correction) + nse(flow, back(z + s * correction, view.offset, view.power)) for s in shares
    ]
    return float(shares[int(np.argmax(scores))])


def hybrid_run(record: xr.Dataset, parameters: xr.Dataset, residual: xr.Dataset) -> xr.DataArray:
    """Return the hybrid's discharge (time) in m3 s-1: process model plus learned residual, without any observation."""
    flow, rows = open_loop(record, parameters)
    view = basin(parameters)
    z = forth(flow, view.offset, view.power) + predict(rows, forest(residual))
    return discharge_array(back(z, view.offset, view.power), record)


def forth(flow: Array, offset: float, power: float) -> Array:
    """Return Box-Cox transformed discharge, the inverse of `back`."""
    return np.asarray(((flow + offset) ** power - 1.0) / power)


def back(z: Array, offset: float, power: float) -> Array:
    """Return discharge of Box-Cox transformed discharge, never below zero."""
    return np.asarray(np.maximum(np.maximum(1.0 + power * z, 1e-9) ** (1.0 / power) - offset, 0.0))


def open_loop(record: xr.Dataset, parameters: xr.Dataset) -> tuple[Array, Array]:
    """Return the process model's discharge (day,) in m3 s-1 and its feature matrix (day, feature)."""
    view = basin(parameters)
    flow, rows = describe(fresh(view.parameters), forcing(record, parameters), view)
    return np.asarray(flow), np.asarray(rows)


def fold_of_day(record: xr.Dataset, train: str) -> NDArray[np.int64]:
    """Return the block (1 to `FOLDS`) of neighbouring training years that each day lies in; 0 outside training."""
    time = record["time"].values
    mask = within(time, train)
    year = pd.DatetimeIndex(time).year.to_numpy()
    years = np.unique(year[mask])
    blocks = np.array_split(years, min(FOLDS, len(years)))
    out = np.zeros(len(time), dtype=np.int64)
    for k, block in enumerate(blocks, start=1):
        out[mask & np.isin(year, block)] = k
    return out


def _fit(rows: Array, target: Array, weight: Array, seed: int) -> GradientBoostingRegressor:
    if len(rows) < 365:
        raise InvalidInput(
            f"Only {len(rows)} days are left to train the residual on; at least 365 are needed.",
            hint="Train on two or more years.",
        )
    return GradientBoostingRegressor(random_state=seed, **_SETTINGS).fit(rows, target, sample_weight=weight)


def export_trees(model: GradientBoostingRegressor) -> Forest:
    """Return a fitted regressor's trees as flat arrays, read from the public `tree_` attributes.

    Leaves already hold the learning rate, so the prediction is `start` plus the sum of one leaf per tree.
    """
    trees = [e.tree_ for e in model.estimators_[:, 0]]
    first = np.cumsum([0] + [t.node_count for t in trees])[:-1]
    left = [np.where(t.children_left < 0, -1, t.children_left + f) for t, f in zip(trees, first, strict=True)]
    right = [np.where(t.children_right < 0, -1, t.children_right + f) for t, f in zip(trees, first, strict=True)]
    return Forest(
        np.concatenate([t.feature for t in trees]).astype(np.int32),
        np.concatenate([t.threshold for t in trees]).astype(np.float64),
        np.concatenate(left).astype(np.int32),
        np.concatenate(right).astype(np.int32),
        np.concatenate([t.value[:, 0, 0] * model.learning_rate for t in trees]),
        first.astype(np.int32),
        float(np.ravel(model.init_.constant_)[0]),
    )


def forest_dataset(forests: Sequence[Forest]) -> xr.Dataset:
    """Return forests as one Dataset, the node axis padded to the longest (padding is never reached)."""
    nodes = max(f.value.size for f in forests)

    def stack(name: str, fill: float) -> tuple[tuple[str, str], NDArray[np.generic]]:
        parts = [getattr(f, name) for f in forests]
        padded = [np.pad(p, (0, nodes - p.size), constant_values=fill) for p in parts]
        return ("fold", "node"), np.stack(padded)

    return xr.Dataset(
        {
            "tree_feature": stack("feature", -2),
            "tree_threshold": stack("threshold", -2.0),
            "tree_left": stack("left", -1),
            "tree_right": stack("right", -1),
            "tree_value": stack("value", 0.0),
            "tree_root": (("fold", "tree"), np.stack([f.roots for f in forests])),
            "tree_start": ("fold", np.array([f.start for f in forests])),
        }
    )


def forest(model: xr.Dataset, fold: int = 0) -> Forest:
    """Return the compiled code's view of one fold's trees."""

    def whole(name: str) -> NDArray[np.int32]:
        return np.ascontiguousarray(model[name].values[fold], dtype=np.int32)

    def real(name: str) -> Array:
        return np.ascontiguousarray(model[name].values[fold], dtype=np.float64)

    return Forest(
        whole("tree_feature"),
        real("tree_threshold"),
        whole("tree_left"),
        whole("tree_right"),
        real("tree_value"),
        whole("tree_root"),
        float(model["tree_start"].values[fold]),
    )

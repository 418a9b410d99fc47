from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from sklearn.ensemble import GradientBoostingRegressor

from gemel.base.errors import InvalidInput
from gemel.thematic.hydro import hybrid_run, process_run
from gemel.thematic.hydro._kernel import predict
from gemel.thematic.hydro._residual import (
    back,
    export_trees,
    fold_of_day,
    forest,
    forest_dataset,
    forth,
    train_residual,
)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(500, 6))
    target = np.sin(rows[:, 0]) + rows[:, 1] * rows[:, 2] + 0.1 * rng.normal(size=500)
    return GradientBoostingRegressor(n_estimators=40, max_depth=4, subsample=0.5, random_state=1).fit(rows, target)


def test_exported_trees_predict_what_sklearn_predicts(fitted):
    rows = np.random.default_rng(6).normal(scale=2.0, size=(2000, 6))
    # The same leaves in the same order; only the order of additions differs.
    np.testing.assert_allclose(predict(rows, export_trees(fitted)), fitted.predict(rows), rtol=0, atol=1e-12)


def test_trees_fall_to_the_same_side_on_a_threshold(fitted):
    trees = export_trees(fitted)
    inner = np.flatnonzero(trees.left >= 0)
    rows = np.zeros((inner.size, 6))
    rows[np.arange(inner.size), trees.feature[inner]] = trees.threshold[inner]
    np.testing.assert_allclose(predict(rows, trees), fitted.predict(rows), rtol=0, atol=1e-12)


def test_trees_survive_netcdf(fitted, tmp_path):
    table = forest_dataset([export_trees(fitted)])
    table.to_netcdf(tmp_path / "trees.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "trees.nc", engine="h5netcdf") as again:
        rows = np.random.default_rng(8).normal(size=(100, 6))
        assert predict(rows, forest(again)).tolist() == predict(rows, export_trees(fitted)).tolist()


def test_hybrid_sees_neither_observations_nor_the_future(fulda, model):
    changed = fulda.copy(deep=True)
    cut = 2500
    changed["discharge"][:] = np.nan
    for name in ("precipitation", "temperature"):
        changed[name][cut:] = 17.0
    ours, theirs = (hybrid_run(r, model, model).values for r in (fulda, changed))
    assert ours[:cut].tolist() == theirs[:cut].tolist()
    assert ours[cut:].tolist() != theirs[cut:].tolist()


def test_hybrid_beats_the_process_model_on_unseen_years(fulda, model):
    test = fulda["time"].dt.year.values >= 1985
    observed = fulda["discharge"].values[test]
    misses = [
        np.mean((run.values[test] - observed) ** 2)
        for run in (process_run(fulda, model), hybrid_run(fulda, model, model))
    ]
    assert misses[1] < misses[0]


def test_only_one_training_year_is_too_little(fulda, model):
    with pytest.raises(InvalidInput, match="at least 365"):
        train_residual(fulda, model.assign_attrs(train="1980/1980"), 0)


def test_folds_part_the_training_years(fulda):
    fold = fold_of_day(fulda, "1980/1984")
    years = fulda["time"].dt.year.values
    assert [set(fold[years == y]) for y in (1979, 1980, 1984, 1985)] == [{0}, {1}, {5}, {0}]


def test_transformation_and_its_inverse():
    flow = np.array([0.0, 0.1, 30.0, 400.0])
    np.testing.assert_allclose(back(forth(flow, 0.3, 0.2), 0.3, 0.2), flow, atol=1e-9)
    assert back(np.array([-1e9]), 0.3, 0.2).tolist() == [0.0]

"""Estimators as bytes: the same everywhere, and nothing foreign is run or followed."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skops.io
from portfolio_stage import described, taught
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.preprocessing import FunctionTransformer

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Bundle
from gemel.core.learn.portfolio import boosted_trees
from gemel.core.learn.portfolio._keeping import kept, read_kept
from gemel.core.learn.samples import Samples

_SCRIPT = """
import numpy as np
from gemel.core.learn.models import Bundle, Description, Training
from gemel.core.learn.portfolio import boosted_trees
from gemel.core.learn.samples import Samples
x = np.random.default_rng(0).normal(size=200)
samples = Samples({"x": x}, {"y": np.sin(x)})
told = Description.read({"kind": "boosted_trees", "inputs": {"x": "1"}, "outputs": {"y": "1"}, "options": {"iterations": 5}})
learner = boosted_trees.learner(told)
learner.fit(samples, samples, Training(seed=2))
print(Bundle(told, learner.arrays()).digest)
"""


def grown(kind: type, **settings: object) -> object:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    return kind(random_state=0, **settings).fit(x, x[:, 1])  # type: ignore[call-arg]


@pytest.mark.slow
def test_the_same_learning_in_another_process_gives_the_same_bytes() -> None:
    run = partial(
        subprocess.run, [sys.executable, "-c", _SCRIPT], check=True, capture_output=True, text=True, timeout=120
    )
    first, second = run().stdout, run().stdout
    assert len(first.strip()) == 64
    assert first == second


@pytest.mark.parametrize(
    "estimator",
    [grown(HistGradientBoostingRegressor, max_iter=4), grown(RandomForestRegressor, n_estimators=3)],
    ids=["boosting", "forest"],
)
def test_what_is_kept_comes_back_and_is_written_the_same_again(estimator: object) -> None:
    x = np.random.default_rng(1).normal(size=(20, 2))
    data = kept([estimator])
    back = read_kept(data, 2)[0]
    assert np.array_equal(back.predict(x), estimator.predict(x))  # type: ignore[attr-defined]
    assert data.dtype == np.uint8
    # Trees that ask for an input that there is not would read beyond the table.
    with pytest.raises(InvalidInput, match="not sound"):
        read_kept(data, 1)


def test_types_that_could_run_code_are_refused_unread(tmp_path: Path) -> None:
    harmful = FunctionTransformer(func=partial(Path.touch, tmp_path / "touched"))
    with pytest.raises(InvalidInput, match="not trusted"):
        read_kept(np.frombuffer(skops.io.dumps([harmful]), np.uint8), 2)
    assert not (tmp_path / "touched").exists()


def test_trees_that_lead_in_circles_or_outside_are_refused() -> None:
    for child in (0, 9999):
        estimator = grown(HistGradientBoostingRegressor, max_iter=2)
        nodes = estimator._predictors[0][0].nodes  # type: ignore[attr-defined]
        nodes["left"][np.flatnonzero(~nodes["is_leaf"].astype(bool))[-1]] = child
        with pytest.raises(InvalidInput, match="not sound"):
            read_kept(kept([estimator]), 2)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nothing", b"\x80\x04pickle"])
def test_bytes_that_are_no_estimators_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_kept(np.frombuffer(content, np.uint8), 1)


def test_estimators_of_another_model_are_refused() -> None:
    x = np.random.default_rng(0).normal(size=(100, 2))
    one = described("boosted_trees", {"x": {"shape": [2]}}, {"y": "1"}, options={"iterations": 3})
    other = described("boosted_trees", {"x": {"shape": [2]}}, {"y": {"shape": [2]}}, options={"iterations": 3})
    arrays = taught(one, Samples({"x": x}, {"y": x[:, 0]})).arrays()
    with pytest.raises(InvalidInput, match="not of a model"):
        boosted_trees.learner(other).load(arrays)
    assert Bundle(one, arrays).digest != Bundle(other, arrays).digest

"""Predictors: one model for many threads, the same answer in one piece and in many."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving_stage import example, samples_for, trained

from gemel.base.errors import InvalidInput
from gemel.core.learn.models import Bundle
from gemel.core.learn.serving import Predictor
from gemel.core.learn.serving._predictor import _Kept
from gemel.core.learn.uncertainty import loaded


@pytest.mark.parametrize("name", ["mlp", "boosted_trees", "lstm"])
def test_chunks_and_events_answer_as_the_whole_does(name: str) -> None:
    told = example(name)
    predictor, asked = Predictor.of(trained(told)), samples_for(told, 50, 2).inputs
    whole = predictor.predict(asked)
    parts = predictor.predict(asked, chunk=7)
    events = [predictor.event({port: values[at] for port, values in asked.items()}) for at in range(50)]
    for port, values in whole.items():
        # Matrix products of other sizes add in another order: float32 numbers of about 100 agree to 1e-4.
        assert np.allclose(parts[port], values, atol=1e-4)
        assert np.allclose(np.stack([event[port] for event in events]), values, atol=1e-4)
        assert events[0][port].shape == values.shape[1:]


def test_many_threads_ask_one_model_that_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = example("mlp", uncertainty={"method": "dropout", "passes": 5})
    bundle, loads = trained(told, seed=17), []

    def counted(given: Bundle) -> object:
        loads.append(given.digest)
        return loaded(given)

    monkeypatch.setattr("gemel.core.learn.serving._predictor.loaded", counted)
    asked, start = samples_for(told, 64, 3).inputs, threading.Barrier(8)
    alone = Predictor(bundle)
    exact, doubt = alone.predict(asked)["z"], alone.quantiles(asked)["z"]
    loads.clear()

    def ask(number: int) -> bool:
        start.wait()
        predictor = Predictor.of(Bundle.from_dataset(bundle.to_dataset()))
        # Dropout draws from a generator of the call: threads do not disturb each other's doubt.
        answers = [predictor.quantiles(asked)["z"] if number % 2 else predictor.predict(asked)["z"] for _ in range(10)]
        return all(np.array_equal(answer, doubt if number % 2 else exact) for answer in answers)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
    assert loads == [bundle.digest]


def test_no_more_models_are_kept_than_may_be() -> None:
    told = example("mlp", steps=1)
    bundles = [trained(told, 20, seed) for seed in range(3)]
    kept = _Kept(2)
    first = kept.of(bundles[0])
    assert kept.of(bundles[0]) is first
    kept.of(bundles[1])
    kept.of(bundles[0])
    kept.of(bundles[2])  # the one asked for longest ago goes: bundle 1
    assert kept.of(bundles[0]) is first
    calls = []

    def load() -> Bundle:
        calls.append(1)
        return bundles[1]

    kept.warm(bundles[1].digest, load)
    kept.warm(bundles[1].digest, load)
    assert calls == [1]
    del bundles
    gc.collect()
    assert len(kept._digests) <= 3


def test_a_model_that_cannot_be_loaded_is_an_error_each_time_and_others_go_on() -> None:
    told = example("mlp", steps=1)
    good = trained(told, 20)
    broken = Bundle(told, {name: values for name, values in good.arrays.items() if "bias" not in name})
    for _ in range(2):
        with pytest.raises(InvalidInput, match="differs"):
            Predictor.of(broken)
    assert Predictor.of(good).predict(samples_for(told, 3).inputs)["z"].shape == (3,)


def test_inputs_of_different_lengths_are_refused_in_pieces_too() -> None:
    told = example("mlp", steps=1)
    predictor = Predictor.of(trained(told, 20))
    with pytest.raises(InvalidInput, match="samples"):
        predictor.predict({"x": np.zeros(10), "y": np.zeros(9)}, chunk=4)
    with pytest.raises(InvalidInput, match="samples"):
        predictor.predict({"x": np.zeros(10), "y": np.zeros(9)})


def test_predicting_needs_neither_onnx_nor_torch_until_a_model_does() -> None:
    script = (
        "import sys\n"
        "from gemel.core.learn.serving import Predictor\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'keras'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.modules['onnx'] = None\n"
        "from gemel.base.errors import MissingExtra\n"
        "try:\n"
        "    from gemel.core.learn.serving import export_onnx\n"
        "except MissingExtra as error:\n"
        "    assert 'onnx' in error.message, error.message\n"
        "else:\n"
        "    raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)

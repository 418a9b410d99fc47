"""Every kind of the portfolio passes the suite that third parties' kinds pass."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from portfolio_stage import described, needs_keras

from gemel.base.errors import InvalidInput, MissingExtra
from gemel.base.plugins import plugins
from gemel.core.learn import portfolio
from gemel.core.learn.models import Description, Learner, Training
from gemel.core.learn.samples import Samples
from gemel.testing._models import ModelContract


class TestMlp(ModelContract):
    kind = portfolio.mlp


class TestCnn(ModelContract):
    kind = portfolio.cnn


class TestUnet(ModelContract):
    kind = portfolio.unet


class TestGraphnet(ModelContract):
    kind = portfolio.graphnet


class TestLstm(ModelContract):
    kind = portfolio.lstm


class TestTransformer(ModelContract):
    kind = portfolio.transformer


class TestNeuralOde(ModelContract):
    kind = portfolio.neural_ode


class TestFlow(ModelContract):
    kind = portfolio.flow


class TestVae(ModelContract):
    kind = portfolio.vae


class TestGan(ModelContract):
    kind = portfolio.gan


class TestDiffusion(ModelContract):
    kind = portfolio.diffusion


class TestBoostedTrees(ModelContract):
    kind = portfolio.boosted_trees


class TestGaussianProcess(ModelContract):
    kind = portfolio.gaussian_process


class TestSklearn(ModelContract):
    kind = portfolio.sklearn


@needs_keras
class TestKeras(ModelContract):
    kind = portfolio.keras


class _Forgetful:
    """A kind like `boosted_trees` whose learners draw their own seeds and answer in the wrong shape."""

    name, framework, task, draws = "forgetful", "sklearn", "regression", False
    card = portfolio.boosted_trees.card

    def learner(self, description: Description) -> Learner:
        learner: Any = portfolio.boosted_trees.learner(description)
        fit, predict = learner.fit, learner.predict

        def unseeded(train: Samples, validation: Samples, training: Training) -> dict[str, Any]:
            drawn = np.random.default_rng().permutation(len(train))[: len(train) // 2]
            return fit(train.take(drawn), validation, training)

        learner.fit = unseeded
        learner.predict = lambda inputs, **more: {name: values[None] for name, values in predict(inputs).items()}
        return learner

    def example(self) -> Description:
        return Description.read(portfolio.boosted_trees.example().document() | {"kind": self.name})


@pytest.mark.parametrize("broken", ["test_answers_fit_their_ports", "test_it_learns_the_same_from_the_same"])
def test_the_suite_fails_kinds_that_break_their_word(broken: str) -> None:
    suite = type("Suite", (ModelContract,), {"kind": _Forgetful()})()
    suite.test_it_says_what_it_is()
    suite.test_it_refuses_options_that_there_are_not()
    with pytest.raises(AssertionError):
        getattr(suite, broken)()


OWN = [name for name in portfolio.__all__ if name.islower()]


@pytest.mark.parametrize("name", OWN)
def test_each_is_registered_and_its_card_tells_every_option(name: str) -> None:
    found = plugins("models").get(name)
    assert found is getattr(portfolio, name)
    for option, known in found.options.items():
        assert f"`{option}`" in found.card
        assert known.fits(known.default), option
    assert "ood for" in found.card
    assert "Not good" in found.card


@pytest.mark.slow
def test_knowing_the_kinds_needs_no_framework() -> None:
    """Cards are read without PyTorch, scikit-learn and Keras: they are imported when a learner is made."""
    script = (
        "import sys\n"
        "from gemel.core.learn import portfolio\n"
        "cards = [getattr(portfolio, name).card for name in portfolio.__all__ if name.islower()]\n"
        "assert len(cards) >= 15\n"
        "heavy = {'torch', 'keras', 'zuko', 'skops'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_a_missing_framework_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(MissingExtra, match="keras") as refused:
        portfolio.keras.learner(portfolio.keras.example())
    assert "pip install" in (refused.value.hint or "")


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "tables", "said"),
    [
        ("mlp", {"x": "1"}, {}, {}, "outputs"),
        ("mlp", {"x": "1"}, {"y": "1"}, {"options": {"hiden": [3]}}, "hiden"),
        ("mlp", {"x": "1"}, {"y": "1"}, {"options": {"hidden": [0]}}, "hidden"),
        ("mlp", {"x": "1"}, {"y": "1"}, {"training": {"stepz": 3}}, "stepz"),
        ("mlp", {"x": "1"}, {"y": "1"}, {"uncertainty": {"method": "emsemble"}}, "emsemble"),
        ("cnn", {"x": "1"}, {"y": "1"}, {}, "series or fields"),
        ("cnn", {"x": {"shape": [4, 4]}}, {"y": "1"}, {"options": {"channels": [4, 4, 4]}}, "halved"),
        ("unet", {"x": {"shape": [10, 8]}}, {"y": {"shape": [10, 8]}}, {}, "halved"),
        ("unet", {"x": {"shape": [8, 8]}}, {"y": {"shape": [4, 4]}}, {}, "'y'"),
        ("lstm", {"x": {"shape": [8]}, "z": {"shape": [9]}}, {"y": "1"}, {}, "one length"),
        ("transformer", {"x": {"shape": [8]}}, {"y": "1"}, {"options": {"width": 6, "heads": 4}}, "heads"),
        ("neural_ode", {"x": {"unit": "m", "shape": [2]}}, {"y": {"unit": "s", "shape": [2]}}, {}, "later state"),
        ("graphnet", {"x": {"shape": [4]}}, {"y": {"shape": [4]}}, {}, "edges"),
        ("graphnet", {"x": {"shape": [2]}}, {"y": {"shape": [2]}}, {"options": {"edges": [[0, 5]]}}, "0 to 1"),
        ("flow", {"x": {"dtype": "int64"}}, {}, {}, "classes"),
        ("flow", {"x": "1"}, {}, {"uncertainty": {"method": "quantile"}}, "quantile"),
        ("boosted_trees", {"x": "1"}, {"y": "1"}, {"training": {"steps": 3}}, "steps"),
        ("boosted_trees", {"x": "1"}, {"y": {"shape": [300]}}, {}, "300"),
        ("gaussian_process", {"x": "1"}, {"y": {"dtype": "int64"}}, {}, "classes"),
        ("sklearn", {"x": "1"}, {"y": "1"}, {"options": {"estimator": "LogisticRegression"}}, "classes"),
        ("sklearn", {"x": "1"}, {"y": "1"}, {"options": {"settings": {"alfa": 1}}}, "alfa"),
        pytest.param(
            "keras", {"x": "1"}, {"y": "1"}, {"options": {"layers": [{"class": "Lambda"}]}}, "Lambda", marks=needs_keras
        ),
        pytest.param(
            "keras",
            {"x": "1"},
            {"y": "1"},
            {"options": {"layers": [{"class": "Dense", "units": 3, "unitz": 3}]}},
            "unitz",
            marks=needs_keras,
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(
    kind: str, inputs: object, outputs: object, tables: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        getattr(portfolio, kind).learner(described(kind, inputs, outputs, **tables))
    assert said in refused.value.message


def test_an_estimator_that_is_not_on_the_list_is_not_found() -> None:
    wrong = described("sklearn", {"x": "1"}, {"y": "1"}, options={"estimator": "RandomForestRegresor"})
    with pytest.raises(LookupError) as refused:
        portfolio.sklearn.learner(wrong)
    assert "RandomForestRegressor" in str(getattr(refused.value, "hint", ""))

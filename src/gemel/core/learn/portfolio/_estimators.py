"""Which of scikit-learn's estimators a description may name, and how they are made."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from gemel.base.errors import InvalidInput, did_you_mean, not_found
from gemel.core.learn.models import Description
from gemel.core.learn.portfolio._sklearn import SklearnLearner

#: Module of scikit-learn by estimator. Those that keep compiled structures which cannot be checked when a foreign model is
#: loaded (support vectors, ball trees) are not among them.
ALLOWED = {
    "LinearRegression": "linear_model",
    "Ridge": "linear_model",
    "Lasso": "linear_model",
    "ElasticNet": "linear_model",
    "BayesianRidge": "linear_model",
    "HuberRegressor": "linear_model",
    "KernelRidge": "kernel_ridge",
    "KNeighborsRegressor": "neighbors",
    "DecisionTreeRegressor": "tree",
    "RandomForestRegressor": "ensemble",
    "ExtraTreesRegressor": "ensemble",
    "GradientBoostingRegressor": "ensemble",
    "LogisticRegression": "linear_model",
    "LinearDiscriminantAnalysis": "discriminant_analysis",
    "QuadraticDiscriminantAnalysis": "discriminant_analysis",
    "GaussianNB": "naive_bayes",
    "KNeighborsClassifier": "neighbors",
    "DecisionTreeClassifier": "tree",
    "RandomForestClassifier": "ensemble",
    "ExtraTreesClassifier": "ensemble",
    "GradientBoostingClassifier": "ensemble",
}


def named(description: Description, options: Mapping[str, Any]) -> SklearnLearner:
    """Return a learner of the estimator that the options name.

    Raises:
        InvalidInput: There is no such estimator or setting, or it foretells what the outputs are not.
    """
    name, settings = options["estimator"], dict(options["settings"])
    if name not in ALLOWED:
        raise not_found("estimator of the kind 'sklearn'", name, ALLOWED)
    cls = getattr(importlib.import_module(f"sklearn.{ALLOWED[name]}"), name)
    known = set(cls().get_params()) - {"n_jobs", "verbose", "warm_start", "algorithm"}
    for setting in settings:
        if setting not in known:
            raise InvalidInput(f"{name} has no setting '{setting}'.", hint=did_you_mean(setting, known))
    classifies = hasattr(cls, "predict_proba")
    for port in description.outputs:
        if (port.dtype == "int64") != classifies:
            wanted = "classes (int64)" if classifies else "numbers (float32, float64)"
            raise InvalidInput(f"{name} foretells {wanted}, and port '{port.name}' is {port.dtype}.")
    return SklearnLearner(description, partial(_named, cls, settings), options["classes"])


def boosted_trees(description: Description, options: Mapping[str, Any]) -> SklearnLearner:
    """Return a learner of histogram gradient boosting."""
    return SklearnLearner(description, partial(_boosted, dict(options)), options["classes"])


def gaussian_process(description: Description, options: Mapping[str, Any]) -> SklearnLearner:
    """Return a learner of Gaussian processes.

    Raises:
        InvalidInput: An output has classes.
    """
    if any(port.dtype == "int64" for port in description.outputs):
        raise InvalidInput("A Gaussian process foretells numbers, not classes.", hint="Take boosted_trees or mlp.")
    size = sum(port.size for port in description.inputs)
    return SklearnLearner(description, partial(_process, dict(options), size))


def _named(cls: Any, settings: Mapping[str, Any], classifies: bool, seed: int, level: float | None) -> Any:
    known = cls().get_params()
    chosen = dict(settings)
    if "random_state" in known:
        chosen.setdefault("random_state", seed)
    if cls.__name__.startswith("KNeighbors"):
        chosen["algorithm"] = "brute"
    return cls(**chosen)


def _boosted(options: Mapping[str, Any], classifies: bool, seed: int, level: float | None) -> Any:
    common = {
        "max_iter": options["iterations"],
        "learning_rate": options["learning_rate"],
        "max_leaf_nodes": options["leaves"],
        "min_samples_leaf": options["least"],
        "l2_regularization": options["regularisation"],
        "early_stopping": False,
        "random_state": seed,
    }
    if classifies:
        return HistGradientBoostingClassifier(**common)
    if level is not None:
        return HistGradientBoostingRegressor(loss="quantile", quantile=level, **common)
    return HistGradientBoostingRegressor(loss=options["loss"], **common)


def _process(options: Mapping[str, Any], size: int, classifies: bool, seed: int, level: float | None) -> Any:
    lengths = [float(options["length"])] * size if options["relevance"] else float(options["length"])
    shapes = {
        "rbf": lambda: kernels.RBF(lengths, (1e-2, 1e4)),
        "matern32": lambda: kernels.Matern(lengths, (1e-2, 1e4), nu=1.5),
        "matern52": lambda: kernels.Matern(lengths, (1e-2, 1e4), nu=2.5),
        "rational": lambda: kernels.RationalQuadratic(float(options["length"])),
    }
    noise = kernels.WhiteKernel(max(float(options["noise"]), 1e-10), (1e-8, 1e2))
    kernel = kernels.ConstantKernel(1.0, (1e-4, 1e4)) * shapes[options["kernel"]]() + noise
    optimiser = "fmin_l_bfgs_b" if options["tune"] else None
    return GaussianProcessRegressor(
        kernel, optimizer=optimiser, n_restarts_optimizer=options["restarts"], random_state=seed
    )

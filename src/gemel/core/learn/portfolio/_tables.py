"""Kinds for tables, made of scikit-learn's estimators and Keras layers: boosted_trees, gaussian_process, sklearn, keras."""

from __future__ import annotations

from gemel.core.learn.portfolio._fields import CLASSES
from gemel.core.learn.portfolio._kind import PortfolioKind
from gemel.core.learn.portfolio._options import choice, flag, layers, number, table, text, whole

_ESTIMATORS = "gemel.core.learn.portfolio._estimators"
_NEEDS = (("sklearn", "ml"), ("skops", "ml"))

boosted_trees = PortfolioKind(
    name="boosted_trees",
    framework="sklearn",
    task="regression",
    draws=False,
    told="""
Gradient boosted decision trees (Friedman 2001) on histograms, as LightGBM grows them (Ke et al. 2017), by scikit-learn.

Good for tables: mixed scales, thresholds, interactions, hundreds to millions of rows, little to set. Not good for smooth
extrapolation (beyond the data it stays flat), for fields and for outputs of many numbers, for each has trees of its own.
Outputs of int64 are classes. With `method = "quantile"` trees for every level, sorted where they cross.
""",
    made=f"{_ESTIMATORS}:boosted_trees",
    shown={"inputs": {"x": "1", "y": "1"}, "outputs": {"z": "1"}, "options": {"iterations": 100}},
    options={
        "iterations": whole(200, "trees (for classes: as many for each)"),
        "learning_rate": number(0.1, "share of each tree's answer that is added", 1e-6, 1.0),
        "leaves": whole(31, "most leaves of a tree", 2),
        "least": whole(20, "least samples of a leaf"),
        "regularisation": number(0.0, "penalty on squared leaf values"),
        "loss": choice("squared_error", "of outputs that are numbers", ("squared_error", "absolute_error")),
        "classes": CLASSES,
    },
    packages=_NEEDS,
    methods=("ensemble", "quantile"),
)

gaussian_process = PortfolioKind(
    name="gaussian_process",
    framework="sklearn",
    task="regression",
    draws=True,
    told="""
Gaussian process regression (Rasmussen & Williams 2006, algorithm 2.1): a normal distribution over functions, conditioned on
the samples; its parameters maximise the marginal likelihood. Its answer is a normal distribution, noise included: it tells
its doubt without further ado, and draws from it.

Good for up to a few thousand samples of smooth functions, calibration of expensive models, few inputs. Not good for more
(time grows with the cube, the bundle with the square of the number of samples), for jumps, and for classes.
""",
    made=f"{_ESTIMATORS}:gaussian_process",
    shown={"inputs": {"x": "1", "y": "1"}, "outputs": {"z": "1"}, "training": {"fraction": 0.25}},
    options={
        "kernel": choice("matern52", "covariance of two inputs", ("rbf", "matern32", "matern52", "rational")),
        "length": number(
            1.0, "length over which outputs resemble each other, in standard deviations of the inputs", 1e-3
        ),
        "relevance": flag(True, "whether each input has a length of its own"),
        "noise": number(0.1, "variance of the noise, in variances of the output"),
        "tune": flag(True, "whether lengths, variance and noise are tuned; else they stay"),
        "restarts": whole(0, "further starts of the tuning", 0),
    },
    packages=_NEEDS,
    methods=("ensemble",),
)

sklearn = PortfolioKind(
    name="sklearn",
    framework="sklearn",
    task="regression",
    draws=False,
    told="""
Any of a list of scikit-learn's estimators by name, with its own settings: linear, ridge, lasso, Huber, nearest neighbours,
forests, logistic regression, discriminants and so on; `BayesianRidge` tells its doubt by itself.

Good as the strong simple reference that a network must beat. Not good for fields. Estimators for classes need int64 outputs.
""",
    made=f"{_ESTIMATORS}:named",
    shown={
        "inputs": {"x": "1", "y": "1"},
        "outputs": {"z": "1"},
        "options": {"estimator": "RandomForestRegressor", "settings": {"n_estimators": 30}},
    },
    options={
        "estimator": text("Ridge", "name of the estimator"),
        "settings": table("of the estimator, as scikit-learn names them"),
        "classes": CLASSES,
    },
    packages=_NEEDS,
    methods=("ensemble",),
)

keras = PortfolioKind(
    name="keras",
    framework="keras",
    task="regression",
    draws=False,
    told="""
A sequential network of Keras 3 on PyTorch, its layers said in the options as Keras spells them: `layers = [{ class = "Dense",
units = 32, activation = "relu" }]`. Several inputs are flattened into one vector; a single one comes in its own shape. The
last dense layer, to the outputs, is added. It is trained as every network of PyTorch is, with the same settings.

Good for taking over a network that is written for Keras. Not good for layers of one's own, for networks that are no plain
sequence, and for uncertainty by dropout.
""",
    made="gemel.core.learn.portfolio.networks.keras_layers:learner",
    shown={
        "inputs": {"x": "1", "y": "1"},
        "outputs": {"z": "1"},
        "options": {"layers": [{"class": "Dense", "units": 32, "activation": "silu"}]},
        "training": {"steps": 300, "batch": 64, "learning_rate": 0.01},
    },
    options={
        "layers": layers("one after the other, each a table of `class` and its settings"),
        "classes": CLASSES,
    },
    packages=(("torch", "ml"), ("keras", "keras")),
    methods=("ensemble", "quantile"),
)

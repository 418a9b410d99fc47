"""Doubt: ensembles, dropout, quantiles and conformal intervals around any kind of model, and checks that it is honest."""

from gemel.core.learn.uncertainty._adaptive import AdaptiveConformal
from gemel.core.learn.uncertainty._answers import Levelled, Mixing, quantiles_of
from gemel.core.learn.uncertainty._building import bundle_of, learn, learner_of, loaded
from gemel.core.learn.uncertainty._calibration import (
    Calibration,
    Coverage,
    Reliability,
    binomial_interval,
    calibration,
    coverage,
    crps_draws,
    crps_quantiles,
    pit,
    pit_counts,
    reliability,
)
from gemel.core.learn.uncertainty._components import Components
from gemel.core.learn.uncertainty._conformal import ConformalLearner, conformal_offset, rank
from gemel.core.learn.uncertainty._dataset import answer_dataset
from gemel.core.learn.uncertainty._doubt import METHODS, Doubt
from gemel.core.learn.uncertainty._ensemble import EnsembleLearner

__all__ = [
    "METHODS",
    "AdaptiveConformal",
    "Calibration",
    "Components",
    "ConformalLearner",
    "Coverage",
    "Doubt",
    "EnsembleLearner",
    "Levelled",
    "Mixing",
    "Reliability",
    "answer_dataset",
    "binomial_interval",
    "bundle_of",
    "calibration",
    "conformal_offset",
    "coverage",
    "crps_draws",
    "crps_quantiles",
    "learn",
    "learner_of",
    "loaded",
    "pit",
    "pit_counts",
    "quantiles_of",
    "rank",
    "reliability",
]

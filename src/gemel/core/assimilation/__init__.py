"""Assimilation: ensembles of states brought closer to what was observed, by filters that share one interface."""

from gemel.core.assimilation._ensemble import Ensemble, Observed
from gemel.core.assimilation._filter import Analysis, EnsembleFilter
from gemel.core.assimilation._localisation import Reach, gaspari_cohn
from gemel.core.assimilation._nudging import nudged
from gemel.core.assimilation._particles import Weighed, resampled
from gemel.core.assimilation._stochastic import perturbed
from gemel.core.assimilation._transform import transformed

__all__ = [
    "Analysis",
    "Ensemble",
    "EnsembleFilter",
    "Observed",
    "Reach",
    "Weighed",
    "gaspari_cohn",
    "nudged",
    "perturbed",
    "resampled",
    "transformed",
]

"""Monitoring: how far data, answers and errors are from what a model was trained with."""

from gemel.core.learn.monitoring._drift import Drift, Monitoring, compared, monitored, population_stability
from gemel.core.learn.monitoring._reference import reference_of

__all__ = ["Drift", "Monitoring", "compared", "monitored", "population_stability", "reference_of"]

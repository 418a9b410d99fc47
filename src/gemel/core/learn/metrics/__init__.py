"""Metrics: what a model is judged by, ready-made or of one's own in three lines."""

from gemel.core.learn.metrics import _builtin
from gemel.core.learn.metrics._metrics import Metric, measures, metric, metrics

builtin = _builtin

__all__ = ["Metric", "builtin", "measures", "metric", "metrics"]

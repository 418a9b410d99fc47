"""The way of a model: trained on recorded parts, evaluated, judged on data it has not seen, promoted through the gate."""

from gemel.core.learn.lifecycle._evaluation import evaluated
from gemel.core.learn.lifecycle._gate import Gate, challenged
from gemel.core.learn.lifecycle._searching import searched, varied
from gemel.core.learn.lifecycle._teaching import held_out, samples_of, trained

__all__ = ["Gate", "challenged", "evaluated", "held_out", "samples_of", "searched", "trained", "varied"]

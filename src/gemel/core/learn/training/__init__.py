"""Training with PyTorch: steps, evaluations, checkpoints, curves and control, on one process or many."""

from gemel.core.learn.metrics import metric
from gemel.core.learn.training._fit import fit
from gemel.core.learn.training._folder import control
from gemel.core.learn.training._gradients import seeded
from gemel.core.learn.training._launching import Job, launch
from gemel.core.learn.training._objective import Batches, NoBatches, Objective, SampleBatches, Step, Work
from gemel.core.learn.training._outcome import Outcome
from gemel.core.learn.training._scaling import scaling
from gemel.core.learn.training._settings import Settings
from gemel.core.learn.training._slurm import slurm_script

__all__ = [
    "Batches",
    "Job",
    "NoBatches",
    "Objective",
    "Outcome",
    "SampleBatches",
    "Settings",
    "Step",
    "Work",
    "control",
    "fit",
    "launch",
    "metric",
    "scaling",
    "seeded",
    "slurm_script",
]

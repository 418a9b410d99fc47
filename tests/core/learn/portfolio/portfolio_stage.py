"""What tests of the portfolio share: one thread, descriptions in a line, and how much of the variance a model explains."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch

from gemel.core.learn.models import Bundle, Description, Learner, Training
from gemel.core.learn.samples import Samples
from gemel.core.learn.uncertainty import learner_of

torch.set_num_threads(1)

needs_keras = pytest.mark.skipif(find_spec("keras") is None, reason="keras is missing (pip install 'gemel[keras]')")


def described(kind: str, inputs: Any, outputs: Any, **tables: Any) -> Description:
    return Description.read({"kind": kind, "inputs": inputs, "outputs": outputs, **tables})


def taught(description: Description, train: Samples, validation: Samples | None = None, seed: int = 0) -> Learner:
    learner = learner_of(description)
    learner.fit(train, validation or train, Training(seed=seed))
    return learner


def explained(learner: Learner, samples: Samples, port: str) -> float:
    """R2: 1 for a perfect answer, 0 for the mean."""
    truth, answer = samples.outputs[port].astype(float), learner.predict(samples.inputs)[port]
    return 1.0 - float(((answer - truth) ** 2).mean() / truth.var())


def again(description: Description, learner: Learner) -> Learner:
    """The learner as it comes back from storage."""
    stored = Bundle.from_dataset(Bundle(description, learner.arrays()).to_dataset())
    found = learner_of(stored.description)
    found.load(stored.arrays)
    return found


def energy_distance(first: Any, second: Any) -> float:
    """0 for equal distributions (Szekely & Rizzo 2013); rows are samples."""
    one, two = torch.as_tensor(np.asarray(first, np.float64)), torch.as_tensor(np.asarray(second, np.float64))
    return float(2 * torch.cdist(one, two).mean() - torch.cdist(one, one).mean() - torch.cdist(two, two).mean())

"""What tests of serving share: small trained models as bundles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from gemel.core.learn.models import Bundle, Description, Training, kind
from gemel.core.learn.samples import Samples
from gemel.core.learn.uncertainty import bundle_of, learner_of

torch.set_num_threads(1)


def samples_for(description: Description, count: int, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    inputs = {
        port.name: (5.0 + 3.0 * rng.normal(size=(count, *port.shape))).astype(port.dtype) for port in description.inputs
    }
    mean = np.mean([values.reshape(count, -1).mean(axis=1) for values in inputs.values()], axis=0)
    outputs = {}
    for port in description.outputs:
        values = 100.0 + 20.0 * np.sin(mean).reshape(-1, *(1 for _ in port.shape)) * np.ones(port.shape)
        outputs[port.name] = (values > 100.0).astype(np.int64) if port.dtype == "int64" else values.astype(port.dtype)
    return Samples(inputs, outputs)


def trained(description: Description, count: int = 200, seed: int = 0) -> Bundle:
    learner = learner_of(description)
    learner.fit(samples_for(description, count), samples_for(description, 40, 1), Training(seed=seed))
    return bundle_of(description, learner)


def example(name: str, steps: int = 20, **tables: Any) -> Description:
    document = kind(name).example().document()
    if kind(name).framework != "sklearn":
        document["training"] = {"steps": steps}
    return Description.read(document | tables)

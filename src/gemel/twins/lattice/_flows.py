"""Flows as values of graphs: trained, stored as datasets, measured."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.base.ids import digest_json
from gemel.base.plugins import require
from gemel.core.graph import Dataset, process, progress, surroundings

_FLOW = "lattice_flow"


@process(categories=("lattice", "learning"))
def trained_flow(flow: dict[str, Any], start: Dataset | None = None) -> Dataset:
    """A flow trained by reverse Kullback-Leibler divergence with the fixed number of steps that its specification says.

    Args:
        flow: Specification: theory, extent, couplings, layers, steps, seed (see `FlowSpec`).
        start: Flow to go on from, of another extent or coupling of the same theory.
    """
    require("torch", extra="ml")
    from gemel.thematic.lattice.flows import FlowSpec, train

    spec = FlowSpec.read(flow)
    home = surroundings().home
    before = None if start is None else from_dataset(start)
    identity = digest_json([spec.document(), None if before is None else before.spec.document()])[:16]
    progress(0.0, f"training a flow for {spec.theory} on {spec.extent}×{spec.extent}")
    folder = None if home is None else home / "trainings" / f"flow-{identity}"
    return to_dataset(train(spec, folder, before))


@process(categories=("lattice", "statistics"))
def measured_flow(flow: Dataset, samples: int = 65536, seed: int = 1, beta: float = 0.0) -> dict[str, Any]:
    """Observables of a flow's theory by accept/reject and by weights, with errors; acceptance, effective samples.

    Args:
        flow: Trained.
        samples: To draw; fewer than 65,536 flatter the effective sample size.
        seed: Of all chance.
        beta: Where a conditional flow is measured; 0 for the flow's own coupling.
    """
    return measured(from_dataset(flow), samples, seed, beta or None)


def measured(trained: Any, samples: int, seed: int, beta: float | None = None) -> dict[str, Any]:
    """Return the figures of a trained flow."""
    from gemel.thematic.lattice.flows import evaluate

    found = evaluate(trained.proposal, trained.spec.target(beta), samples, seed)
    told = {"training_seconds": training_seconds(trained.record), "specification": trained.spec.document()}
    return found.document() | told


def training_seconds(record: dict[str, Any]) -> float:
    """Return the CPU seconds of a training, those of the flows that it went on from included."""
    before = record.get("start")
    return float(record["cpu_seconds"]) + (training_seconds(before["record"]) if before else 0.0)


def to_dataset(trained: Any) -> xr.Dataset:
    """Return a trained flow as it travels between steps."""
    variables = {}
    for number, (name, value) in enumerate(trained.flow.state_dict().items()):
        array = value.detach().cpu().numpy()
        variables[name] = (tuple(f"a{number}_{axis}" for axis in range(array.ndim)), np.asarray(array))
    about = {"spec": trained.spec.document(), "record": trained.record}
    return xr.Dataset(variables, attrs={_FLOW: json.dumps(about, sort_keys=True)})


def from_dataset(dataset: xr.Dataset) -> Any:
    """Return the trained flow in a dataset.

    Raises:
        InvalidInput: It holds none.
    """
    if _FLOW not in dataset.attrs:
        raise InvalidInput("This dataset is no flow.", hint="Flows come out of the graph train.")
    torch = require("torch", extra="ml")
    from gemel.thematic.lattice.flows import FlowSpec, Trained, build

    about = json.loads(dataset.attrs[_FLOW])
    spec = FlowSpec.read(about["spec"])
    flow = build(spec)
    flow.load_state_dict({str(name): torch.as_tensor(item.values) for name, item in dataset.data_vars.items()})
    return Trained(flow.double().eval(), spec, about["record"])

"""What a flow is worth: weights of many samples, and observables by reweighting and by independence Metropolis."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.core.graph import progress
from gemel.thematic.lattice._autocorrelation import Estimate, gamma_method
from gemel.thematic.lattice._phi4 import Phi4, phi4_observables
from gemel.thematic.lattice._u1 import U1, links_of, u1_observables
from gemel.thematic.lattice._u1_exact import exact_u1
from gemel.thematic.lattice._weights import (
    effective_sample_size,
    independence_metropolis,
    log_normalisation,
    reweighted,
)
from gemel.thematic.lattice.flows._defended import Defended
from gemel.thematic.lattice.flows._flow import Flow
from gemel.thematic.lattice.flows._spec import FlowSpec
from gemel.thematic.lattice.flows._training import Trained, train

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Proposals:
    """Independent samples of a flow with what judges them.

    Attributes:
        log_q: ln of the flow's density (sample,).
        log_p: Minus the action (sample,).
        observables: By name, each (sample,).
    """

    log_q: Array
    log_p: Array
    observables: dict[str, Array]


@dataclass(frozen=True)
class Evaluation:
    """How good a flow is.

    Attributes:
        samples: How many it was judged by.
        effective: Effective sample size by sample, in (0, 1].
        acceptance: Of independence Metropolis.
        longest_rejection: Most proposals in a row that it refused.
        log_partition: ln Z and its error.
        reweighted: Value and error by observable.
        metropolis: Estimate with autocorrelation by observable.
        exact: Exact values by observable, where they are known.
        seconds: CPU seconds that drawing and weighing took.
    """

    samples: int
    effective: float
    acceptance: float
    longest_rejection: int
    log_partition: tuple[float, float]
    reweighted: dict[str, tuple[float, float]]
    metropolis: dict[str, Estimate]
    exact: dict[str, float]
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(self))))


def propose(flow: Flow | Defended, theory: Phi4 | U1, samples: int, seed: int, *, chunk: int = 4096) -> Proposals:
    """Return samples of a flow, drawn and weighed in chunks, so that memory does not grow with their fields.

    Args:
        flow: Of the theory; a conditional one is told the theory's coupling.
        theory: What weighs them: `gemel.thematic.lattice.Phi4` or `U1`.
        samples: How many.
        seed: Of all chance; numbers depend on it and on `chunk`.
        chunk: Samples at a time.
    """
    generator = torch.Generator().manual_seed(seed)
    log_q, log_p, rows = [], [], []
    for done in range(0, samples, chunk):
        count = min(chunk, samples - done)
        with torch.no_grad(), _one_thread():
            field, density = flow.sample(count, generator, _coupling(flow, theory, count))
        weight, measured = _judged(theory, field.double().numpy())
        log_q.append(density.double().numpy())
        log_p.append(weight)
        rows.append(measured)
        progress((done + count) / samples, f"drawn {done + count} of {samples} samples")
    observables = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return Proposals(np.concatenate(log_q), np.concatenate(log_p), observables)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Draw on one thread: networks this small gain nothing from more, and CPU seconds then mean work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _coupling(flow: Flow | Defended, theory: Phi4 | U1, count: int) -> torch.Tensor | None:
    if flow.span is None:
        return None
    if not isinstance(theory, U1) or not flow.span[0] <= theory.beta <= flow.span[1]:
        raise InvalidInput(f"This flow is for beta from {flow.span[0]:g} to {flow.span[1]:g}, not for {theory}.")
    return torch.full((count,), theory.beta, dtype=flow.dtype)


def _judged(theory: Phi4 | U1, field: Array) -> tuple[Array, dict[str, Array]]:
    """Return -S and observables of scalar fields or plaquettes, by the package's own code, which knows no tensors."""
    if isinstance(theory, Phi4):
        measured = phi4_observables(field)
        volume = field.shape[1] * field.shape[2]
        kept = {name: measured[name] for name in ("absolute_magnetisation", "phi_squared", "neighbours")}
        return -theory.action(field), {**kept, "susceptibility": volume * measured["magnetisation_squared"]}
    links = links_of(field)
    measured = u1_observables(links)
    return -theory.action(links), {name: measured[name] for name in ("plaquette", "charge_squared")}


def judge(proposals: Proposals, seed: int, exact: dict[str, float] | None = None, seconds: float = 0.0) -> Evaluation:
    """Return what proposals are worth.

    Args:
        proposals: From `propose`.
        seed: Of Metropolis' decisions.
        exact: Known values by observable.
        seconds: What drawing took.

    Raises:
        InvalidInput: Too few samples, or weights that are no numbers.
    """
    log_weight = proposals.log_p - proposals.log_q
    walk = independence_metropolis(proposals.log_p, proposals.log_q, np.random.default_rng(seed))
    return Evaluation(
        samples=len(log_weight),
        effective=effective_sample_size(log_weight),
        acceptance=walk.acceptance,
        longest_rejection=walk.longest_rejection,
        log_partition=log_normalisation(log_weight),
        reweighted={name: reweighted(values, log_weight) for name, values in proposals.observables.items()},
        metropolis={name: gamma_method(values[walk.chosen]) for name, values in proposals.observables.items()},
        exact=exact or {},
        seconds=round(seconds, 3),
    )


def evaluate(flow: Flow | Defended, theory: Phi4 | U1, samples: int = 65536, seed: int = 0) -> Evaluation:
    """Return how good a flow is for a theory.

    Few samples flatter: quote effective sample sizes from 65,536 or more.

    Args:
        flow: In float64 by preference; `Trained.proposal` gives what its specification says.
        theory: `gemel.thematic.lattice.Phi4` or `U1`.
        samples: How many to draw.
        seed: Of all chance.
    """
    begun = time.process_time()
    proposals = propose(flow, theory, samples, seed)
    spent = time.process_time() - begun
    exact: dict[str, float] = {}
    if isinstance(theory, U1):
        found = exact_u1(theory.beta, (flow.extent, flow.extent))
        exact = {name: found[name] for name in ("plaquette", "charge_squared", "log_partition")}
    return judge(proposals, seed, exact, spent)


def trial(
    spec: FlowSpec, seed: int, *, samples: int = 65536, start: Trained | None = None, beta: float | None = None
) -> dict[str, Any]:
    """Return specification, training record and evaluation of one training with one seed, as JSON: a row of evidence.

    Args:
        spec: Its seed is replaced.
        seed: Of weights and training; the evaluation takes another.
        samples: Of the evaluation.
        start: Flow to go on from.
        beta: Where a conditional flow is evaluated.
    """
    trained = train(dataclasses.replace(spec, seed=seed), start=start)
    found = evaluate(trained.proposal, spec.target(beta), samples, seed + 1_000_003)
    return {"spec": trained.spec.document(), "record": trained.record, "evaluation": found.document()}

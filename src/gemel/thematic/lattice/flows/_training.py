"""Training a flow, and keeping it: arrays, specification and record in one small file of NumPy's."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gemel.base.errors import GemelError, InvalidInput, NotFound
from gemel.core.learn.training import NoBatches, Settings, fit
from gemel.thematic.lattice.flows._building import build, carry_over
from gemel.thematic.lattice.flows._defended import Defended
from gemel.thematic.lattice.flows._flow import Flow
from gemel.thematic.lattice.flows._objective import ReverseKL
from gemel.thematic.lattice.flows._spec import FlowSpec

_WARMUP = 20
_CLIP = 10.0
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class Trained:
    """A flow with what it was made from.

    Attributes:
        flow: In float64 on the CPU.
        spec: What it was built and trained by.
        record: `steps`, `cpu_seconds` (of this process, all threads; those of the flow that it went on from stand in
            `start`, those before an interruption nowhere), `resumed_from`, `seconds` (wall clock), `loss` and `spread` at the end, `threads`, version of `torch`, and the record of the flow that it went on from.
    """

    flow: Flow
    spec: FlowSpec
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def proposal(self) -> Flow | Defended:
        """Return what samples come from: the flow, or its mixture with the prior where the specification says so."""
        return Defended(self.flow, self.spec.defence) if self.spec.defence else self.flow


def train(spec: FlowSpec, folder: Path | None = None, start: Trained | None = None) -> Trained:
    """Return a flow after the fixed number of steps that its specification says.

    Args:
        spec: What, on what, and for how long.
        folder: Where checkpoints and curves lie; an interrupted training goes on there. None for nowhere.
        start: Flow to go on from, for another extent or coupling of the same theory; None for fresh weights.

    Raises:
        InvalidInput: The flow to go on from is of another kind.
        Diverged: The loss is no number any more.
    """
    flow = build(spec)
    if start is not None:
        carry_over(flow, start.flow)
    begun = time.process_time()
    outcome = fit(ReverseKL(flow, spec), NoBatches(spec.batch), _settings(spec), seed=spec.seed, folder=folder)
    last = outcome.curve[-1] if outcome.curve else {}
    record = {
        "steps": outcome.steps,
        "cpu_seconds": round(time.process_time() - begun, 2),
        "resumed_from": outcome.resumed_from,
        "seconds": round(outcome.seconds, 2),
        "loss": last.get("loss"),
        "spread": last.get("spread"),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "start": None if start is None else {"spec": start.spec.document(), "record": start.record},
    }
    return Trained(flow.to(device="cpu", dtype=torch.float64).eval(), spec, record)


def _settings(spec: FlowSpec) -> Settings:
    return Settings(
        steps=spec.steps,
        batch=spec.batch,
        optimiser="adam",
        learning_rate=spec.learning_rate,
        schedule="cosine",
        warmup=min(_WARMUP, spec.steps // 2),
        clip=_CLIP,
        precision=spec.precision,
        evaluate=max(1, spec.steps // 20),
    )


def save(trained: Trained, path: Path) -> None:
    """Write weights (float32), specification and record as one compressed .npz; nothing in it is pickled."""
    arrays = {
        name: value.detach().cpu().numpy().astype(np.float32) for name, value in trained.flow.state_dict().items()
    }
    about = {"spec": trained.spec.document(), "record": trained.record}
    with path.open("wb") as stream:
        np.savez_compressed(stream, about=np.array(json.dumps(about, sort_keys=True)), **arrays)


def load(path: Path) -> Trained:
    """Return the flow that `save` wrote, in float64.

    Raises:
        NotFound: There is no such file.
        InvalidInput: It is no flow, or its arrays are not those of its specification.
    """
    if not path.is_file():
        raise NotFound(f"There is no trained flow at '{path}'.")
    try:
        arrays = _arrays(path)
        about = json.loads(str(arrays.pop("about")))
        spec, record = FlowSpec.read(about["spec"]), dict(about["record"])
        flow = build(spec)
        flow.load_state_dict({name: torch.as_tensor(value) for name, value in arrays.items()})
    except GemelError:
        raise
    except (ValueError, KeyError, TypeError, RuntimeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidInput(f"'{path.name}' is no trained flow: {str(error)[:200]}") from error
    return Trained(flow.double().eval(), spec, record)


def _arrays(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > _MOST_BYTES:
        raise InvalidInput(f"'{path.name}' unpacks to {size} bytes, and no flow has more than {_MOST_BYTES}.")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def shipped() -> dict[str, Path]:
    """Return the trained flows that come with the package, by name."""
    folder = Path(__file__).parent / "trained"
    return {path.stem: path for path in sorted(folder.glob("*.npz"))}

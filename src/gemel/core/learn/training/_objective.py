"""What is trained on what: the protocols of objectives and batches, and the batches that samples make."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gemel.base.errors import InvalidInput
from gemel.core.learn.samples import Samples
from gemel.core.learn.training._settings import Settings

Loss = Tensor | tuple[Tensor, Mapping[str, Tensor]]
Evaluate = Callable[[], Mapping[str, float]]
_BITS = (1 << 64) - 1


class Step:
    """One piece of a step's work, as an objective sees it.

    Attributes:
        number: Of the step, from 0.
        share: Which piece of the batch this is, and of how many: over processes and accumulations.
    """

    __slots__ = ("_fresh", "_generator", "_seed", "number", "share")

    def __init__(self, seed: int, device: torch.device, share: tuple[int, int] = (0, 1)) -> None:
        self._seed = seed
        self._generator = torch.Generator(device)
        self._fresh = -1
        self.number = 0
        self.share = share

    @property
    def generator(self) -> torch.Generator:
        """Return the generator of this step's noise: a pure function of seed, step and share."""
        if self._fresh != self.number:
            self._generator.manual_seed(mixed(self._seed, self.number, *self.share))
            self._fresh = self.number
        return self._generator


class Objective(Protocol):
    """What is trained.

    Attributes:
        module: Whose parameters are learned.
    """

    module: torch.nn.Module

    def loss(self, batch: Mapping[str, Tensor], step: Step) -> Loss:
        """Return the mean loss of a batch, a scalar; with parts by name that the curve tells beside it, where there are."""


class Batches(Protocol):
    """Where batches come from."""

    def at(self, step: int, share: tuple[int, int]) -> Mapping[str, Tensor]:
        """Return one share (which, of how many) of a step's batch: a pure function, so that resuming needs no state."""


class SampleBatches:
    """Batches of samples: `inputs/NAME` and `outputs/NAME` of shape (sample, *shape), on the device of the settings.

    Every epoch goes through all samples in an order drawn from (seed, epoch); a batch may reach into the next epoch, so
    that all are of one size and every sample is seen equally often.

    Attributes:
        told: What is learned from: samples used, of how many, and the digest of those used.
    """

    def __init__(self, samples: Samples, settings: Settings, seed: int = 0) -> None:
        whole = len(samples)
        used = max(1, round(settings.fraction * whole))
        if used < whole:
            samples = samples.take(np.sort(np.random.default_rng([seed, 1]).permutation(whole)[:used]))
        named = {f"inputs/{name}": array for name, array in samples.inputs.items()}
        named |= {f"outputs/{name}": array for name, array in samples.outputs.items()}
        self._place = settings.place(local_rank())
        self._tensors = {name: _tensor(array, settings.dtype).to(self._place) for name, array in named.items()}
        self._count, self._batch, self._seed = used, settings.batch, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        self.told = {"samples": used, "of": whole, "digest": _digest(named)}

    def at(self, step: int, share: tuple[int, int]) -> dict[str, Tensor]:
        """Return the tensors of one share of a step's batch."""
        size = self._batch // share[1]
        begin = step * self._batch + share[0] * size
        chosen = self._positions(begin, begin + size)
        return {name: tensor.index_select(0, chosen) for name, tensor in self._tensors.items()}

    def __getstate__(self) -> dict[str, Any]:
        """Return the batches as they travel to other processes, which have devices of their own."""
        kept = {name: value.cpu() for name, value in self._tensors.items()}
        return self.__dict__ | {"_tensors": kept, "_epoch": -1, "_order": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Move the tensors to this process's device."""
        self.__dict__.update(state)
        self._place = torch.device("cpu") if self._place.type == "cpu" else torch.device("cuda", local_rank())
        self._tensors = {name: value.to(self._place) for name, value in self._tensors.items()}

    def _positions(self, begin: int, end: int) -> Tensor:
        epoch, first = divmod(begin, self._count)
        last = first + end - begin
        if last <= self._count:
            return self._permutation(epoch)[first:last]
        pieces = [self._permutation(epoch)[first:]]
        while (last := last - self._count) > 0:
            epoch += 1
            pieces.append(self._permutation(epoch)[:last])
        return torch.cat(pieces)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            # Drawn on the CPU, so that every device sees the same batches.
            generator = torch.Generator().manual_seed(mixed(self._seed, epoch))
            self._order = torch.randperm(self._count, generator=generator).to(self._place)
            self._epoch = epoch
        return self._order


class NoBatches:
    """Batches of nothing, for objectives that draw what they learn from.

    Attributes:
        size: Draws of one step, over all shares.
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.told: dict[str, Any] = {}

    def at(self, step: int, share: tuple[int, int]) -> dict[str, Tensor]:
        """Return nothing."""
        return {}


@dataclass(frozen=True, eq=False)
class Work:
    """All that a training needs beside its settings.

    Attributes:
        objective: What is trained.
        batches: On what.
        evaluate: Returns measures by name of the module as it is; None for none.
    """

    objective: Objective
    batches: Batches
    evaluate: Evaluate | None = None


def mixed(*numbers: int) -> int:
    """Return a seed of 63 bits that depends on every one of some numbers (SplitMix64: Steele, Lea & Flood 2014).

    >>> mixed(0, 1) != mixed(1, 0)
    True
    """
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & _BITS
        state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & _BITS
        state = ((state ^ state >> 27) * 0x94D049BB133111EB) & _BITS
        state ^= state >> 31
    return state >> 1


def local_rank() -> int:
    """Return which process of this machine's this is, as launchers say it; 0 for a single one."""
    found = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or "0"
    return int(found)


def _tensor(array: Any, dtype: torch.dtype) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise InvalidInput(f"No tensor can be made of {array.dtype}.")
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _digest(named: Mapping[str, Any]) -> str:
    hasher = hashlib.sha256()
    for name, array in sorted(named.items()):
        hasher.update(f"{name} {array.dtype.str} {array.shape}".encode())
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()

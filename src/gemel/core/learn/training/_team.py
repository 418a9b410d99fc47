"""The processes that train together: one alone, or several of `torch.distributed`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from gemel.core.learn.training._objective import Loss, Objective, Step


class Team:
    """This process among those that train together.

    Attributes:
        rank: Which one it is; 0 keeps the books.
        size: How many there are.
    """

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.size = dist.get_world_size() if together else 1
        # What is told beside gradients are a few numbers, which need no GPU.
        self._told = dist.new_group(backend="gloo") if together else None

    def mean(self, values: list[float]) -> list[float]:
        """Return the means of some numbers over all processes."""
        if self.size == 1 or not values:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, group=self._told)
        return [float(value) / self.size for value in tensor]

    def heard(self, value: Any) -> Any:
        """Return what the first process says."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self._told)
        return box[0]

    def spread(self, objective: Objective) -> Objective | DistributedDataParallel:
        """Return what `objective.loss` is to be asked of: its gradients are means over all processes."""
        return objective if self.size == 1 else DistributedDataParallel(_Asked(objective))


class _Asked(torch.nn.Module):
    """An objective whose forward is its loss, as DistributedDataParallel wants it, whatever of the module it calls."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.inner = objective.module
        self._objective = [objective]

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> Loss:
        return self._objective[0].loss(batch, step)


def join() -> None:
    """Take this process into its team, as torchrun, srun or `launch` describe it in the environment."""
    rank = int(os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or 0)
    size = int(os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_NTASKS") or 1)
    if size > 1:
        backend = "nccl" if torch.cuda.is_available() and torch.cuda.device_count() >= _local_size(size) else "gloo"
        method = os.environ.get("GEMEL_RENDEZVOUS") or "env://"
        dist.init_process_group(backend, init_method=method, rank=rank, world_size=size)


def leave() -> None:
    """Let go of the team."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _local_size(size: int) -> int:
    nodes = int(os.environ.get("SLURM_NNODES") or 1)
    return int(os.environ.get("LOCAL_WORLD_SIZE") or -(-size // nodes))

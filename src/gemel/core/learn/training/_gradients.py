"""One optimiser step: gradients over the pieces of a batch, in the precision and at the rate of the settings."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from gemel.base.errors import InvalidInput
from gemel.core.learn.training._objective import Step, Work, local_rank, mixed
from gemel.core.learn.training._settings import Settings
from gemel.core.learn.training._team import Team

_NOTHING: dict[str, Tensor] = {}
_turn = threading.RLock()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Have PyTorch's one generator alone, seeded, for the block; it is given back as it was."""
    with _turn, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class Gradients:
    """The optimiser of a module and what drives it.

    Attributes:
        on_cpu: Whether looking at a loss costs nothing.
        now: Learning rate of the last step.
    """

    def __init__(self, work: Work, settings: Settings, seed: int, team: Team) -> None:
        self._work, self._settings = work, settings
        self._device = settings.place(local_rank())
        self.on_cpu = self._device.type == "cpu"
        self.now = settings.learning_rate
        _placed(work.objective.module, self._device, settings.dtype)
        self._weights = [item for item in work.objective.module.parameters() if item.requires_grad]
        self._optimiser = _optimiser(self._weights, settings)
        self._asked = team.spread(work.objective)
        self._loss: Any = self._asked if team.size > 1 else work.objective.loss
        pieces = settings.accumulate
        shares = [(team.rank * pieces + piece, team.size * pieces) for piece in range(pieces)]
        self._pieces = [Step(seed, self._device, share) for share in shares]
        self._global = torch.default_generator if self.on_cpu else _cuda_generator(self._device)
        self._seed = (seed, team.rank)
        half = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(settings.precision)
        self._half = None if half is None else (self._device.type, half)
        self._scaler = torch.amp.GradScaler(self._device.type) if settings.precision == "float16" else None

    def rate(self, learning_rate: float) -> None:
        """Set the learning rate of the steps to come."""
        if learning_rate != self.now:
            self.now = learning_rate
            for group in self._optimiser.param_groups:
                group["lr"] = learning_rate

    def step(self, number: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the mean loss over this process's share of the batch and its parts, after one optimiser step."""
        # PyTorch has one generator for all threads: trainings beside each other take turns, so that each has its own noise.
        with _turn:
            self._global.manual_seed(mixed(*self._seed, number))
            return self._stepped(number)

    def _stepped(self, number: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        self._optimiser.zero_grad()
        found = [self._piece(piece, number) for piece in self._pieces]
        scaler = self._scaler
        if self._settings.clip is not None:
            if scaler is not None:
                scaler.unscale_(self._optimiser)
            torch.nn.utils.clip_grad_norm_(self._weights, self._settings.clip)
        if scaler is None:
            self._optimiser.step()
        else:
            scaler.step(self._optimiser)
            scaler.update()
        return found[0] if len(found) == 1 else _mean(found)

    def _piece(self, piece: Step, number: int) -> tuple[Tensor, Mapping[str, Tensor]]:
        piece.number = number
        if len(self._pieces) == 1:
            loss, parts = self._lost(piece, number)
            (loss if self._scaler is None else self._scaler.scale(loss)).backward()
        else:
            with self._alone(piece):
                loss, parts = self._lost(piece, number)
                weighed = loss / len(self._pieces)
                (weighed if self._scaler is None else self._scaler.scale(weighed)).backward()
        return loss.detach(), parts

    def _lost(self, piece: Step, number: int) -> tuple[Any, Mapping[str, Tensor]]:
        batch = self._work.batches.at(number, piece.share)
        if self._half is None:
            given = self._loss(batch, piece)
        else:
            with torch.autocast(*self._half):
                given = self._loss(batch, piece)
        loss, parts = given if isinstance(given, tuple) else (given, _NOTHING)
        if loss.ndim:
            raise InvalidInput(f"The loss of an objective is one number, and this has the shape {tuple(loss.shape)}.")
        return loss, parts

    def _alone(self, piece: Step) -> contextlib.AbstractContextManager[Any]:
        # Gradients of several pieces are averaged over processes once, with the last.
        if isinstance(self._asked, DistributedDataParallel) and piece is not self._pieces[-1]:
            return self._asked.no_sync()
        return contextlib.nullcontext()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it."""
        scaler = None if self._scaler is None else self._scaler.state_dict()
        return {"optimiser": self._optimiser.state_dict(), "scaler": scaler}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self._optimiser.load_state_dict(state["optimiser"])
        self.now = self._optimiser.param_groups[0]["lr"]
        if self._scaler is not None and state["scaler"] is not None:
            self._scaler.load_state_dict(state["scaler"])


def _optimiser(weights: list[torch.nn.Parameter], settings: Settings) -> torch.optim.Optimizer:
    if not weights:
        raise InvalidInput("The module of this objective has no weights to learn.")
    # One kernel for all weights; there is none for complex ones.
    fused = not any(item.is_complex() for item in weights)
    common: dict[str, Any] = {
        "lr": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "fused": fused or None,
    }
    if settings.optimiser == "sgd":
        return torch.optim.SGD(weights, **common)
    return (torch.optim.Adam if settings.optimiser == "adam" else torch.optim.AdamW)(weights, **common)


def _placed(module: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    def moved(item: Tensor) -> Tensor:
        return item.to(device, dtype) if item.is_floating_point() else item.to(device)

    module._apply(moved)  # type: ignore[no-untyped-call]


def _cuda_generator(device: torch.device) -> torch.Generator:
    torch.cuda.init()  # type: ignore[no-untyped-call]
    return torch.cuda.default_generators[device.index or 0]


def _mean(found: list[tuple[Tensor, Mapping[str, Tensor]]]) -> tuple[Tensor, Mapping[str, Tensor]]:
    parts = {name: torch.stack([item[1][name].detach() for item in found]).mean() for name in found[0][1]}
    return torch.stack([item[0] for item in found]).mean(), parts

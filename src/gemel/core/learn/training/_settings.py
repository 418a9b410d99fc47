"""Settings of a training: what a description's table `training` may say, and what a device makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from gemel.base.errors import InvalidInput, did_you_mean

_CHOICES = {
    "optimiser": ("sgd", "adam", "adamw"),
    "schedule": ("constant", "cosine", "linear"),
    "precision": ("float32", "float64", "bfloat16", "float16"),
    "device": ("auto", "cpu", "cuda"),
}
_COUNTS = ("steps", "batch", "accumulate", "checkpoint", "evaluate", "processes")
#: Settings that do not change what is learned: a training may go on with others.
_FREE = ("device", "threads", "checkpoint", "processes")


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    Attributes:
        steps: Optimiser steps.
        batch: Samples a step, over all accumulations and processes.
        optimiser: `sgd` (plain), `adam` (Kingma & Ba 2015) or `adamw` (Loshchilov & Hutter 2019).
        learning_rate: Of the optimiser, before the schedule.
        schedule: `constant`, `cosine` (Loshchilov & Hutter 2017, eq. 5, without restarts) or `linear`, both down to 0.
        warmup: Steps over which the learning rate rises linearly at the start.
        weight_decay: Of the optimiser; decoupled for `adamw`.
        clip: Largest Euclidean norm of the gradient; None for no limit.
        accumulate: Pieces in which a step's batch is worked off, so that large ones fit the memory.
        precision: `float32`, `float64`, `bfloat16` (autocast) or `float16` (autocast with a loss scaler; GPU only).
        device: `auto` (the GPU where there is one), `cpu` or `cuda`.
        checkpoint: Steps between checkpoints; left out where writing would take more than about 1 % of the time.
        evaluate: Steps between evaluations, each an entry of the curve.
        patience: Evaluations without gain after which it stops early; None for never.
        watch: Measure of the evaluation that steers early stop and best weights; `-name` where more is better.
        fraction: Share of the training part that is used.
        processes: Processes on this machine that share each batch.
        threads: Threads of each process; one is quickest for small networks, and gives the same numbers on machines with
            more or fewer cores. None leaves them as they are.

    >>> Settings.read({"steps": 10, "learning_rate": 0.1}).steps
    10
    """

    steps: int = 1000
    batch: int = 64
    optimiser: str = "adamw"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup: int = 0
    weight_decay: float = 0.0
    clip: float | None = None
    accumulate: int = 1
    precision: str = "float32"
    device: str = "auto"
    checkpoint: int = 200
    evaluate: int = 50
    patience: int | None = None
    watch: str = "loss"
    fraction: float = 1.0
    processes: int = 1
    threads: int | None = 1

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Settings:
        """Return the settings that a JSON object spells.

        Raises:
            InvalidInput: A key is unknown, or a value cannot be.
        """
        known = {item.name: str(item.type) for item in fields(cls)}
        for name in document:
            if name not in known:
                raise InvalidInput(f"A training has no setting '{name}'.", hint=did_you_mean(name, known))
        settings = cls(**{name: _typed(name, value, known[name]) for name, value in document.items()})
        settings.check()
        return settings

    def document(self) -> dict[str, Any]:
        """Return the settings as JSON; `read` turns them back."""
        return asdict(self)

    def check(self) -> None:
        """Refuse settings that train nothing.

        Raises:
            InvalidInput: A value cannot be; the message names it.
        """
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                hint = did_you_mean(str(value), choices) or f"One of {', '.join(choices)}."
                raise InvalidInput(f"{name} = '{value}' is none that a training knows.", hint=hint)
        for name in _COUNTS:
            _within(name, getattr(self, name), getattr(self, name) >= 1, "1 or more")
        _within("learning_rate", self.learning_rate, _positive(self.learning_rate), "a positive number")
        _within("warmup", self.warmup, self.warmup >= 0, "0 or more")
        _within("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "0 or more")
        _within("clip", self.clip, self.clip is None or self.clip > 0, "a positive number")
        _within("patience", self.patience, self.patience is None or self.patience >= 1, "1 or more")
        _within("threads", self.threads, self.threads is None or self.threads >= 1, "1 or more")
        _within("fraction", self.fraction, 0 < self.fraction <= 1, "above 0 and at most 1")
        parts = self.accumulate * self.processes
        _within("batch", self.batch, self.batch % parts == 0, f"a multiple of accumulate x processes = {parts}")

    @property
    def dtype(self) -> torch.dtype:
        """Return what weights and data are held in: float64 where that is the precision, else float32."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def place(self, local_rank: int = 0) -> torch.device:
        """Return the device to train on.

        Raises:
            InvalidInput: A GPU is asked for and there is none, or the precision needs one.
        """
        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise InvalidInput("device = 'cuda' is asked for, and this machine has no GPU.", hint="device = 'auto'")
        if self.device == "cpu" or not there:
            if self.precision == "float16":
                raise InvalidInput("precision = 'float16' needs a GPU.", hint="On a CPU take precision = 'bfloat16'.")
            return torch.device("cpu")
        return torch.device("cuda", local_rank % torch.cuda.device_count())

    def factor(self, step: int) -> float:
        """Return what the learning rate is multiplied by at a step (0 is the first).

        >>> settings = Settings(steps=100, schedule="linear", warmup=10)
        >>> settings.factor(0), settings.factor(9), settings.factor(55)
        (0.1, 1.0, 0.5)
        """
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.schedule == "constant":
            return 1.0
        way = (step - self.warmup) / max(self.steps - self.warmup, 1)
        if self.schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * way))
        return 1.0 - way

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Return which settings keep a training with the others from going on with these, as `name: old -> new`."""
        free = set(_FREE)
        if self.schedule == "constant" and self.steps >= other.get("steps", 0):
            free.add("steps")
        now = self.document()
        return [
            f"{name}: {other.get(name)} -> {now[name]}"
            for name in now
            if name not in free and other.get(name) != now[name]
        ]


def _typed(name: str, value: Any, kind: str) -> Any:
    if value is None and "None" in kind:
        return None
    if kind.startswith("str") and isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if kind.startswith("float"):
            return float(value)
        if kind.startswith("int") and float(value).is_integer():
            return int(value)
    raise InvalidInput(f"The setting {name} = {value!r} of a training is no {kind.partition(' ')[0]}.")


def _positive(value: float) -> bool:
    return 0.0 < value < math.inf


def _within(name: str, value: Any, holds: bool, wanted: str) -> None:
    if not holds:
        raise InvalidInput(f"{name} = {value} of a training is not {wanted}.")

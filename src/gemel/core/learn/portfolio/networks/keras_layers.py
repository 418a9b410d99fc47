"""Sequential networks of Keras 3: with PyTorch behind them they are modules like any other, trained by gemel's training."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

# Keras takes its backend from the environment when it is first imported.
os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import torch
from torch import Tensor, nn

from gemel.base.errors import InvalidInput, MissingExtra, did_you_mean
from gemel.core.learn.models import Description
from gemel.core.learn.portfolio.networks._layout import FLAT
from gemel.core.learn.portfolio.networks._supervised import Plan, SupervisedLearner

#: Layers that a description may name: none of them runs code that it brings.
LAYERS = (
    "Dense", "Dropout", "Flatten", "Reshape", "Activation", "LayerNormalization", "GaussianNoise",
    "Conv1D", "Conv2D", "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "LSTM", "GRU", "SimpleRNN",
)  # fmt: skip
_SEEDS = "seed_generator"
# Keras takes seeds and names from places that all threads share.
_lock = threading.RLock()


def learner(description: Description, options: Mapping[str, Any]) -> SupervisedLearner:
    """Return a learner: a single input comes in its own shape, several are flattened into one vector.

    Raises:
        MissingExtra: Keras was imported with another backend than PyTorch.
        InvalidInput: A layer is unknown, or cannot be made or joined to the one before.
    """
    if keras.backend.backend() != "torch":
        raise MissingExtra(
            f"Keras runs on '{keras.backend.backend()}' in this process, and the kind 'keras' needs it on torch.",
            hint="Set KERAS_BACKEND=torch before Keras is imported.",
        )
    for layer in options["layers"]:
        if layer["class"] not in LAYERS:
            message = f"A model of the kind 'keras' has no layer '{layer['class']}'."
            raise InvalidInput(message, hint=did_you_mean(layer["class"], LAYERS) or f"It has {', '.join(LAYERS)}.")
    shape = description.inputs[0].shape if len(description.inputs) == 1 else ()
    return SupervisedLearner(Plan(description, options, partial(KerasBody, options["layers"], shape), FLAT, FLAT))


class KerasBody(nn.Module):
    """Layers of Keras, and a dense one to the outputs."""

    def __init__(self, layers: tuple[Mapping[str, Any], ...], shape: tuple[int, ...], into: int, out: int) -> None:
        super().__init__()
        self._shape = shape or (into,)
        with _lock:
            state = random.getstate()
            # The seed of Python's generator is where Keras takes those of its weights from.
            random.seed(int(torch.randint(2**31, ())))
            try:
                self.layers = _sequential(layers, self._shape, out)
            finally:
                random.setstate(state)
        self._names = _plain_names(self.layers)
        self.layers._register_state_dict_hook(self._out)
        self.layers.register_load_state_dict_pre_hook(self._in)

    def forward(self, values: Tensor) -> Tensor:
        """Return (sample, number)."""
        with keras.device(values.device.type):
            found: Tensor = self.layers(values.reshape(-1, *self._shape), training=torch.is_grad_enabled())
        return found

    def _out(self, layers: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
        for own, plain in self._names.items():
            _renamed(state, prefix, own, plain)

    def _in(self, layers: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
        for own, plain in self._names.items():
            _renamed(state, prefix, plain, own)


def _plain_names(layers: nn.Module) -> dict[str, str]:
    """Return names that do not tell how many networks this process has made: Keras numbers its generators of seeds."""
    known = {name for part in layers.state_dict() for name in part.split(".") if name.startswith(_SEEDS)}
    ordered = sorted(known, key=lambda name: int("0" + "".join(filter(str.isdigit, name))))
    return {name: f"seeds{number}" for number, name in enumerate(ordered)}


def _renamed(state: dict[str, Any], prefix: str, old: str, new: str) -> None:
    for name in [name for name in state if name.startswith(prefix) and old in name.split(".")]:
        state[".".join(new if part == old else part for part in name.split("."))] = state.pop(name)


def _sequential(layers: tuple[Mapping[str, Any], ...], shape: tuple[int, ...], out: int) -> Any:
    try:
        made = [
            getattr(keras.layers, layer["class"])(
                **{name: value for name, value in layer.items() if name != "class"} | {"name": f"layer{number}"}
            )
            for number, layer in enumerate(layers)
        ]
        ends = [keras.layers.Flatten(name="flat"), keras.layers.Dense(out, name="last")]
        with keras.device("cpu"):
            return keras.Sequential([keras.Input(shape, name="values"), *made, *ends], name="layers")
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"These layers of Keras make no network: {error}") from error

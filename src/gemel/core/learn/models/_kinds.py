"""Kinds of models: the one interface through which PyTorch, scikit-learn and Keras models are trained and asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from gemel.base.plugins import plugins
from gemel.core.learn.models._description import Description
from gemel.core.learn.samples import Samples

Arrays = Mapping[str, NDArray[Any]]
#: What a model answers: (sample, *shape) by output port, or (draw, sample, *shape) where it was asked for draws.
Answer = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Training:
    """Where and with what a learner learns.

    Attributes:
        seed: Of weights, batches and noise.
        folder: Where checkpoints, curves and the control file lie; None for nowhere.
        weights: Weights to go on from, as `Learner.arrays` gave them; None to begin anew.
        metrics: Measures by name, of (truth, answer), each a mapping from port to array; more is not better or worse by itself.
    """

    seed: int = 0
    folder: Path | None = None
    weights: Arrays | None = None
    metrics: Mapping[str, Callable[[Arrays, Arrays], float]] = field(default_factory=dict)


class Learner(Protocol):
    """One model, before, while and after it learns."""

    def fit(self, train: Samples, validation: Samples, training: Training) -> dict[str, Any]:
        """Return how it went (`steps`, `seconds`, `loss`, `reason`, `curve` and what the kind adds), after learning.

        Raises:
            Diverged: The loss is no number any more.
        """

    def predict(self, inputs: Arrays, *, draws: int = 0, seed: int = 0) -> Answer:
        """Return the answer to inputs (sample, *shape); with `draws`, that many random answers where the kind has such."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, scalings included."""

    def load(self, arrays: Arrays) -> None:
        """Take over what was learned.

        Raises:
            InvalidInput: The arrays are not those of this model.
        """


class Kind(Protocol):
    """A kind of model, registered in the entry-point group `gemel.models`.

    Attributes:
        name: As descriptions name it.
        framework: `torch`, `sklearn` or `keras`.
        task: `regression`, `classification` or `generation`.
        draws: Whether `predict` can draw.
        card: What it is, what it is good for and what not, its options with defaults, and its source; Markdown.
    """

    name: str
    framework: str
    task: str
    draws: bool
    card: str

    def learner(self, description: Description) -> Learner:
        """Return a learner with fresh weights.

        Raises:
            InvalidInput: An option is unknown or cannot be, or the ports do not fit the kind.
        """

    def example(self) -> Description:
        """Return a description of a size that trains in seconds."""


def kind(name: str) -> Kind:
    """Return a kind of model by name.

    Raises:
        NotFound: No plugin has registered it.
        MissingExtra: What it is made with is not installed.
    """
    return cast("Kind", plugins("models").get(name))


def kinds() -> list[str]:
    """Return the names of all kinds that are registered."""
    return plugins("models").names()

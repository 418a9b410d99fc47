"""What surrounds a running step: the engine's home, the workspace of the person it runs for, and the memory it may use."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gemel.base.errors import InvalidInput
from gemel.core.graph._registry import Registry


@dataclass(frozen=True)
class Sandbox:
    """What foreign code in a graph may use.

    Attributes:
        required: Whether it is refused where it cannot be confined.
        seconds: Time on the clock for one call.
        memory: Bytes of address space.
    """

    required: bool = True
    seconds: float = 300.0
    memory: int = 4_000_000_000


class Models(Protocol):
    """Where the models are that steps name."""

    def pin(self, reference: str) -> str:
        """Return the reference that means for ever what `reference`, such as `NAME@champion`, means now."""

    def load(self, reference: str) -> Any:
        """Return the dataset that holds the model."""


@dataclass(frozen=True)
class Surroundings:
    """Where a step runs.

    Attributes:
        home: The engine's home folder, with the lake's collections and contents in it.
        files: Folder of the files that the person uploaded, or None where there is none.
        memory: Bytes that the steps of one run may use together, or None for no limit.
        sandbox: What foreign code may use.
        registry: Where child processes are looked up; None for the installed ones.
        models: Where models are registered; None outside of an engine.
        twin: Id of the twin that the graph belongs to, or None.
        tracking: Address of the MLflow that trainings are told to; empty for none.
    """

    home: Path | None = None
    files: Path | None = None
    memory: int | None = None
    sandbox: Sandbox = field(default_factory=Sandbox)
    registry: Registry | None = None
    models: Models | None = None
    twin: str | None = None
    tracking: str = ""

    def model(self, reference: str) -> Any:
        """Return the dataset that holds the model named, which is the twin's own unless the name says otherwise.

        Raises:
            InvalidInput: The process was called outside of any engine.
            NotFound: There is no such model.
        """
        return self.registered().load(self.full(reference))

    def registered(self) -> Models:
        """Return where models are registered.

        Raises:
            InvalidInput: The process was called outside of any engine.
        """
        if self.models is None:
            raise InvalidInput("Models are found in an engine.", hint="Run it in a graph: gemel run GRAPH.json")
        return self.models

    def full(self, name: str) -> str:
        """Return the name of a model, or a reference to one, with the twin in front of it.

        >>> Surroundings(twin="tank").full("level@3"), Surroundings().full("level")
        ('tank.level@3', 'level')
        """
        own = self.twin is not None and "." not in name.partition("@")[0]
        return f"{self.twin}.{name}" if own else name

    def lake(self) -> Path:
        """Return the home folder.

        Raises:
            InvalidInput: The process was called outside of any engine.
        """
        if self.home is None:
            raise InvalidInput(
                "This process needs an engine around it.", hint="Run it in a graph: gemel run GRAPH.json"
            )
        return self.home


_current: contextvars.ContextVar[Surroundings | None] = contextvars.ContextVar("gemel_surroundings", default=None)
_NOWHERE = Surroundings()


def surroundings() -> Surroundings:
    """Return the surroundings of the running step; empty ones for a process called as a plain function.

    >>> surroundings().home is None
    True
    """
    return _current.get() or _NOWHERE


@contextlib.contextmanager
def within(place: Surroundings) -> Iterator[None]:
    """Make `place` the surroundings of whatever runs in the block."""
    token = _current.set(place)
    try:
        yield
    finally:
        _current.reset(token)

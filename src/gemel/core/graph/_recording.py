"""Writing a graph as ordinary Python: while a graph function runs, process calls are recorded, not executed."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gemel.base.errors import InvalidInput

_P = TypeVar("_P", bound="Recordable")


class Recordable(Protocol):
    """What can be recorded as a step: a process, or a graph used as one."""

    @property
    def id(self) -> str:
        """Return the process id."""

    @property
    def function(self) -> Any:
        """Return the Python function behind it."""

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call by name."""


@dataclass
class Recorder:
    """The steps of one graph function, in the order of their calls."""

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    used: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, process: Recordable, arguments: dict[str, Any]) -> Step:
        """Return the step recorded for a call of `process`."""
        node = self._name(process.id)
        encoded = {name: encode_argument(value, f"{node}.{name}") for name, value in arguments.items()}
        self.nodes[node] = {"process_id": process.id, "arguments": encoded}
        self.used[process.id] = process
        return Step(node)

    def _name(self, process_id: str) -> str:
        while True:
            count = self.counts[process_id] = self.counts.get(process_id, 0) + 1
            node = f"{process_id}{count}"
            # The 11th call of `a` and the first of `a1` would otherwise share a name.
            if node not in self.nodes:
                return node


class Reference:
    """A value that will exist when the graph runs; arithmetic and ``[name]`` on it record further steps."""

    def __getitem__(self, name: str) -> Any:
        return _builtin("select")(self, name)

    def __add__(self, other: Any) -> Any:
        return _builtin("add")(self, other)

    def __radd__(self, other: Any) -> Any:
        return _builtin("add")(other, self)

    def __sub__(self, other: Any) -> Any:
        return _builtin("subtract")(self, other)

    def __rsub__(self, other: Any) -> Any:
        return _builtin("subtract")(other, self)

    def __mul__(self, other: Any) -> Any:
        return _builtin("multiply")(self, other)

    def __rmul__(self, other: Any) -> Any:
        return _builtin("multiply")(other, self)

    def __truediv__(self, other: Any) -> Any:
        return _builtin("divide")(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _builtin("divide")(other, self)

    def __bool__(self) -> bool:
        raise InvalidInput(
            "A graph cannot branch on a value that does not exist yet.",
            hint="Put the decision inside a process, or make it a plain argument of the graph.",
        )

    def __iter__(self) -> Iterator[Any]:
        raise InvalidInput("A graph cannot loop over a value that does not exist yet.", hint="Loop inside a process.")


@dataclass(frozen=True, eq=False)
class Step(Reference):
    """The future result of a recorded step."""

    node: str


@dataclass(frozen=True, eq=False)
class Argument(Reference):
    """The future value of one of the graph's own parameters."""

    name: str


_active: contextvars.ContextVar[Recorder | None] = contextvars.ContextVar("gemel_recorder", default=None)
_builtins: dict[str, Any] = {}


def register_builtin(process: _P) -> _P:
    """Return `process` after making it the meaning of an operator on references."""
    _builtins[process.id] = process
    return process


def _builtin(name: str) -> Any:
    return _builtins[name]


@contextlib.contextmanager
def recording() -> Iterator[Recorder]:
    """Yield the recorder that collects process calls made inside the block."""
    token = _active.set(Recorder())
    try:
        recorder = _active.get()
        assert recorder is not None
        yield recorder
    finally:
        _active.reset(token)


def record_call(process: Recordable, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the recorded step of a call while a graph is being written, else the function's own result."""
    recorder = _active.get()
    if recorder is None:
        return process.function(*args, **kwargs)
    return recorder.add(process, process.bind(args, kwargs))


def encode_argument(value: Any, where: str) -> Any:
    """Return `value` as it stands in the graph's JSON.

    Raises:
        InvalidInput: The value is neither JSON nor a reference.
    """
    if isinstance(value, Step):
        return {"from_node": value.node}
    if isinstance(value, Argument):
        return {"from_parameter": value.name}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [encode_argument(item, where) for item in value]
    if isinstance(value, dict):
        return {str(name): encode_argument(item, where) for name, item in value.items()}
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise InvalidInput(
        f"{where}: a {type(value).__name__} cannot be written into a graph.",
        hint="Pass data by reference (a file or dataset), or make it with a process.",
    )

"""Ports: the named quantities that go into a model and come out of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.base import units
from gemel.base.errors import InvalidInput

DTYPES = ("float32", "float64", "int64")


@dataclass(frozen=True)
class Port:
    """One named quantity.

    Attributes:
        name: What it is called in datasets and in calls.
        unit: UDUNITS spelling; values in another unit of the same quantity are converted.
        shape: Shape of one sample: `()` for a number, `(24,)` for a series, `(8, 8)` for a field.
        dtype: `float32`, `float64`, or `int64` for classes.

    >>> Port("rain", "mm d-1").size
    1
    """

    name: str
    unit: str = "1"
    shape: tuple[int, ...] = ()
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Refuse ports that no array can fit."""
        if not self.name or self.dtype not in DTYPES or any(length < 1 for length in self.shape):
            raise InvalidInput(
                f"No port '{self.name}' of dtype {self.dtype} and shape {self.shape}.",
                hint=f"A port has a name, lengths of 1 or more, and one of the dtypes {', '.join(DTYPES)}.",
            )
        units.check_unit(self.unit)

    @property
    def size(self) -> int:
        """Return how many numbers one sample has."""
        return math.prod(self.shape)

    def accepted(self, values: Any, unit: str | None = None) -> NDArray[Any]:
        """Return values as this port takes them: shape (sample, *shape), its dtype, its unit.

        Args:
            values: Anything that numpy makes an array of; one sample may come without the first axis.
            unit: What the values are in; None when they are in the port's unit already.

        Raises:
            InvalidInput: Wrong shape, not numbers, or no finite numbers; says which port and what it takes.
            UnitMismatch: The unit measures something else.
        """
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise InvalidInput(f"Port '{self.name}' takes numbers, not {array.dtype}.")
        array = array[np.newaxis] if array.shape == self.shape else array
        if array.shape[1:] != self.shape or array.ndim != len(self.shape) + 1:
            raise InvalidInput(
                f"Port '{self.name}' takes samples of shape {self.shape}, and got an array of shape {array.shape}.",
                hint=f"The first axis counts samples: ({', '.join(['n', *map(str, self.shape)])}).",
            )
        if unit is not None and unit != self.unit:
            array = np.asarray(units.convert(array, unit, self.unit))
        return self._typed(array)

    def _typed(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.dtype == "int64" and array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
            raise InvalidInput(f"Port '{self.name}' takes whole numbers (int64), and got fractions.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(np.argmin(np.isfinite(array.reshape(len(array), -1)).all(axis=1)))
            raise InvalidInput(f"Port '{self.name}' takes finite numbers; sample {bad} has others.")
        return array.astype(self.dtype)

    def document(self) -> dict[str, Any]:
        """Return the port as JSON."""
        return {"name": self.name, "unit": self.unit, "shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def read(cls, name: str, value: Any) -> Port:
        """Return the port that a description spells as a unit or as a table.

        >>> Port.read("field", {"shape": [8, 8], "dtype": "float64"}).size
        64

        Raises:
            InvalidInput: It is spelt in another way.
        """
        if isinstance(value, str):
            return cls(name, value)
        if not isinstance(value, Mapping) or set(value) - {"name", "unit", "shape", "dtype"}:
            raise InvalidInput(f"Port '{name}' is {value!r}.", hint='A unit, or { unit = "K", shape = [8, 8] }.')
        shape = tuple(int(length) for length in value.get("shape", ()))
        return cls(name, str(value.get("unit", "1")), shape, str(value.get("dtype", "float32")))


def read_ports(value: Any, where: str) -> tuple[Port, ...]:
    """Return the ports of a table (name to unit or table) or of a list of tables with names.

    Raises:
        InvalidInput: None, or two of one name.
    """
    if isinstance(value, Mapping):
        ports = tuple(Port.read(str(name), item) for name, item in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        ports = tuple(Port.read(str(item["name"]), item) for item in value)
    else:
        raise InvalidInput(f"The {where} of a model are a table, name to unit.")
    if len({port.name for port in ports}) != len(ports):
        raise InvalidInput(f"Two {where} of a model share a name.")
    return ports

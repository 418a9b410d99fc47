"""Samples: arrays of inputs and outputs in the shapes and units of their ports, each sample with its own digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput, not_found
from gemel.base.ids import digest_bytes
from gemel.core.learn.samples._ports import Port

Arrays = Mapping[str, NDArray[Any]]
#: Dimensions that count samples where nothing else is said, the first that is there.
_COUNTING = ("sample", "time", "t", "gemel_row")


@dataclass(frozen=True, eq=False)
class Samples:
    """What a model learns from or is judged by.

    Attributes:
        inputs: By port, shape (sample, *shape).
        outputs: By port; empty for models that only draw.
        labels: What tells samples apart in their source, such as times; (sample,), or None.
        groups: What belongs together when data are split, such as a station; (sample,), or None.
        dropped: How many samples the source had beside these, with missing values in them.
    """

    inputs: Arrays
    outputs: Arrays
    labels: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    dropped: int = 0
    _rows: dict[str, NDArray[np.uint64]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths."""
        lengths = {len(array) for array in (*self.inputs.values(), *self.outputs.values())}
        lengths |= {len(array) for array in (self.labels, self.groups) if array is not None}
        if len(lengths) != 1:
            raise InvalidInput(f"Inputs, outputs and labels have {sorted(lengths)} samples; they need as many each.")

    def __len__(self) -> int:
        """Return how many samples there are."""
        return len(next(iter(self.inputs.values())))

    @property
    def rows(self) -> NDArray[np.uint64]:
        """Return a digest of each sample, (sample,): equal for samples with equal label and equal values."""
        if "rows" not in self._rows:
            arrays = [item for _, item in sorted(self.inputs.items())] + [
                item for _, item in sorted(self.outputs.items())
            ]
            if self.labels is not None:
                arrays.append(_codes(self.labels))
            flat = [np.ascontiguousarray(item).reshape(len(self), -1).view(np.uint8) for item in arrays]
            whole = np.ascontiguousarray(np.concatenate(flat, axis=1))
            digests = b"".join(hashlib.blake2b(row, digest_size=8).digest() for row in whole)
            self._rows["rows"] = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
        return self._rows["rows"]

    @property
    def digest(self) -> str:
        """Return the SHA-256 digest of all samples in their order."""
        return digest_bytes(self.rows.tobytes())

    def take(self, which: NDArray[Any]) -> Samples:
        """Return the samples at some positions, or where a mask is true."""
        return Samples(
            {name: item[which] for name, item in self.inputs.items()},
            {name: item[which] for name, item in self.outputs.items()},
            None if self.labels is None else self.labels[which],
            None if self.groups is None else self.groups[which],
        )

    def joined(self, other: Samples) -> Samples:
        """Return these samples and then the others.

        Raises:
            InvalidInput: They have other ports.
        """
        if set(self.inputs) != set(other.inputs) or set(self.outputs) != set(other.outputs):
            raise InvalidInput("Samples of different ports cannot be joined.")
        return Samples(
            {name: np.concatenate([item, other.inputs[name]]) for name, item in self.inputs.items()},
            {name: np.concatenate([item, other.outputs[name]]) for name, item in self.outputs.items()},
            _both(self.labels, other.labels),
            _both(self.groups, other.groups),
            self.dropped + other.dropped,
        )

    @classmethod
    def of(
        cls,
        dataset: xr.Dataset,
        inputs: Sequence[Port],
        outputs: Sequence[Port] = (),
        *,
        along: str | None = None,
        group: str | None = None,
    ) -> Samples:
        """Return the samples of a dataset, without those that have missing values.

        Args:
            dataset: Variables named as the ports; units in their attribute `units` are converted.
            inputs: Ports that go in.
            outputs: Ports that come out.
            along: Dimension that counts samples; default `sample`, `time` or `t`, whichever is there.
            group: Coordinate or variable of what belongs together.

        Raises:
            NotFound: A variable or the dimension is not there.
            InvalidInput: A shape or type does not fit its port.
            UnitMismatch: A unit measures something else.
        """
        counted = along or _counting(dataset)
        if counted not in dataset.dims:
            raise not_found("dimension of the dataset", counted, [str(name) for name in dataset.dims])
        raw = {port.name: _values(dataset, port, counted) for port in (*inputs, *outputs)}
        whole = np.ones(dataset.sizes[counted], dtype=bool)
        for values, _ in raw.values():
            if values.dtype.kind == "f":
                whole &= np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if not whole.any():
            raise InvalidInput("No sample of the dataset is without missing values.")
        taken = {port.name: port.accepted(raw[port.name][0][whole], raw[port.name][1]) for port in (*inputs, *outputs)}
        return cls(
            {port.name: taken[port.name] for port in inputs},
            {port.name: taken[port.name] for port in outputs},
            dataset[counted].values[whole] if counted in dataset.coords else None,
            None if group is None else dataset[group].values[whole],
            int(len(whole) - whole.sum()),
        )

    def to_dataset(self, ports: Sequence[Port] = ()) -> xr.Dataset:
        """Return the samples as a dataset along `sample` (or `time`, where the labels are times), with the ports' units."""
        units = {port.name: {"units": port.unit} for port in ports}
        along = "time" if self.labels is not None and self.labels.dtype.kind == "M" else "sample"
        named = {**self.inputs, **self.outputs}
        variables = {
            name: ((along, *(f"{name}_{axis}" for axis in range(item.ndim - 1))), item, units.get(name, {}))
            for name, item in named.items()
        }
        coords = {} if self.labels is None else {along: self.labels}
        return xr.Dataset(variables, coords=coords)


def _counting(dataset: xr.Dataset) -> str:
    found = next((name for name in _COUNTING if name in dataset.dims), None)
    if found is None:
        raise InvalidInput(
            f"None of the dimensions {', '.join(map(str, dataset.dims))} counts samples.",
            hint="Name one of them `sample` or `time`, or say along=...",
        )
    return found


def _values(dataset: xr.Dataset, port: Port, along: str) -> tuple[NDArray[Any], str | None]:
    if port.name not in dataset.variables:
        raise not_found("variable of the dataset", port.name, [str(name) for name in dataset.data_vars])
    variable = dataset[port.name]
    if along not in variable.dims:
        raise InvalidInput(f"Variable '{port.name}' does not run along '{along}', which counts samples.")
    unit = variable.attrs.get("units")
    return np.asarray(variable.transpose(along, ...).values), None if unit is None else str(unit)


def _codes(labels: NDArray[Any]) -> NDArray[Any]:
    if labels.dtype.kind == "M":
        return labels.astype("datetime64[ns]").astype(np.int64)
    if labels.dtype.kind in "iufb":
        return labels.astype(np.float64)
    texts = [hashlib.blake2b(str(label).encode(), digest_size=8).digest() for label in labels]
    return np.frombuffer(b"".join(texts), dtype="<u8")


def _both(first: NDArray[Any] | None, second: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if first is None or second is None else np.concatenate([first, second])

"""A bundle: what a model has learned with all that is needed to use it again, as one dataset that any NetCDF reader opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gemel.base.errors import InvalidInput
from gemel.base.ids import canonical_json, digest_bytes
from gemel.core.learn.models._description import Description

_MARK = "gemel_model"
_VERSION = 1
_LEARNED, _REFERENCE, _SEEN = "learned/", "reference/", "seen"


@dataclass(frozen=True, eq=False)
class Bundle:
    """A trained model.

    Attributes:
        description: What it was made from.
        arrays: What it has learned, by name.
        record: How it was trained: digests of the data, the split, seed, steps, metrics, versions of libraries, parent.
        seen: Sorted digests of all samples that it was trained, stopped or calibrated with (see `Split.seen`).
        reference: What its inputs and answers looked like when it was trained, (sample,) by name; drift is told from it.
    """

    description: Description
    arrays: Mapping[str, NDArray[Any]]
    record: Mapping[str, Any] = field(default_factory=dict)
    seen: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    reference: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Return the SHA-256 digest of description and arrays: equal for models that answer alike."""
        parts = [canonical_json(self.description.document())]
        for name, array in sorted(self.arrays.items()):
            told = [name, array.dtype.str, list(array.shape), digest_bytes(np.ascontiguousarray(array).tobytes())]
            parts.append(canonical_json(told))
        return digest_bytes(b"\n".join(parts))

    def to_dataset(self) -> xr.Dataset:
        """Return the bundle as it travels between processes and is stored."""
        named = {f"{_LEARNED}{name}": array for name, array in self.arrays.items()}
        named |= {f"{_REFERENCE}{name}": array for name, array in self.reference.items()}
        variables = {}
        for number, (name, array) in enumerate(sorted((named | {_SEEN: self.seen}).items())):
            dims = tuple(f"a{number}_{axis}" for axis in range(array.ndim))
            variables[name.replace("/", "|")] = (dims, array)
        attributes = {
            _MARK: _VERSION,
            "description": json.dumps(self.description.document(), sort_keys=True),
            "record": json.dumps(self.record, sort_keys=True),
        }
        return xr.Dataset(variables, attrs=attributes)

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Bundle:
        """Return the bundle that a dataset holds.

        Raises:
            InvalidInput: The dataset is no model, or one of a later gemel.
        """
        if not is_bundle(dataset):
            raise InvalidInput("This dataset is no model.", hint="Models come out of the process train_model.")
        if int(dataset.attrs[_MARK]) > _VERSION:
            raise InvalidInput("This model was stored by a later version of gemel.", hint="pip install -U gemel")
        named = {str(name).replace("|", "/"): np.asarray(item.values) for name, item in dataset.data_vars.items()}
        return cls(
            Description.read(json.loads(dataset.attrs["description"])),
            {name.removeprefix(_LEARNED): item for name, item in named.items() if name.startswith(_LEARNED)},
            json.loads(dataset.attrs["record"]),
            named.get(_SEEN, np.empty(0, np.uint64)),
            {name.removeprefix(_REFERENCE): item for name, item in named.items() if name.startswith(_REFERENCE)},
        )


def is_bundle(value: Any) -> bool:
    """Return whether a value is a dataset that holds a model."""
    return isinstance(value, xr.Dataset) and _MARK in value.attrs

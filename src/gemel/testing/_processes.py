"""What every process keeps, so that graphs can be checked before they run and results can be kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from gemel.base import units
from gemel.core.graph import Process, ValueType, decode, encode


class ProcessContract:
    """Suite for one process; set `process` and some `examples` of arguments it can be called with."""

    process: ClassVar[Process]
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ()

    def test_it_says_what_it_is(self) -> None:
        """Check that the catalogue has something to show, in JSON."""
        described = self.process.describe()
        assert described["summary"], f"'{self.process.id}' has no docstring"
        assert json.loads(json.dumps(described)) == described

    def test_every_parameter_is_explained(self) -> None:
        """Check that each parameter has a text of its own."""
        silent = [parameter.name for parameter in self.process.parameters if not parameter.description]
        assert not silent, f"the docstring of '{self.process.id}' says nothing about {', '.join(silent)}"

    def test_its_types_survive_their_schema(self) -> None:
        """Check that who reads the description knows the same types."""
        for value_type in (self.process.returns, *(item.type for item in self.process.parameters)):
            assert ValueType.from_schema(value_type.schema()) == value_type

    def test_its_units_can_be_read(self) -> None:
        """Check that every unit has a UDUNITS spelling."""
        for value_type in (self.process.returns, *(item.type for item in self.process.parameters)):
            if value_type.unit is not None:
                units.check_unit(value_type.unit)

    def test_its_defaults_fit_its_types(self) -> None:
        """Check that a default is a value the parameter accepts."""
        for parameter in self.process.parameters:
            if not parameter.required:
                assert parameter.type.complaint(parameter.default) is None, parameter.name

    def test_its_results_can_be_stored_and_are_the_same_again(self) -> None:
        """Check that what it returns survives the store, and that equal arguments give equal bytes."""
        for arguments in self.examples:
            first = encode(self.process.function(**arguments))
            again = encode(self.process.function(**arguments))
            assert _content(first.format, first.data) == _content(again.format, again.data), "not deterministic"


def _content(format: str, data: bytes) -> Any:
    value = decode(format, data)
    # NetCDF files of equal content may differ in their layout, and NaN differs from itself.
    return (
        value.to_dict() if hasattr(value, "to_dict") and format == "netcdf" and not _holds_nan(value) else repr(value)
    )


def _holds_nan(value: Any) -> bool:
    found = value.isnull().any()
    return bool(found.to_array().any()) if hasattr(found, "to_array") else bool(found.to_numpy().any())

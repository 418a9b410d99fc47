"""Types of the values that travel between processes, read from Python hints and written as openEO JSON Schema."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gemel.base.errors import InvalidInput
from gemel.core.graph._schema import complaint_about

# Kinds of value on the wire; `any` accepts each of them.
KINDS = ("any", "field", "dataset", "table", "number", "integer", "text", "boolean", "list", "object", "file", "model")
_JSON_TYPE = {
    "number": "number",
    "integer": "integer",
    "text": "string",
    "boolean": "boolean",
    "list": "array",
    "object": "object",
    "file": "string",
    "model": "string",
}
_CLASSES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "text",
    list: "list",
    tuple: "list",
    dict: "object",
    Any: "any",
    object: "any",
}
# Named by module and class so that reading hints does not import xarray or pandas.
_FOREIGN = {("xarray", "DataArray"): "field", ("xarray", "Dataset"): "dataset", ("pandas", "DataFrame"): "table"}


@dataclass(frozen=True)
class Unit:
    """Annotation that gives a number or field its unit: ``Annotated[float, Unit("K")]``."""

    unit: str


@dataclass(frozen=True)
class Bounds:
    """Annotation that bounds a number, both ends included: ``Annotated[float, Bounds(0, 5)]``."""

    minimum: float | None = None
    maximum: float | None = None


if TYPE_CHECKING:
    # To a type checker the markers are what the functions really receive.
    from pathlib import Path as File

    from pandas import DataFrame as Table
    from xarray import DataArray as Field
    from xarray import Dataset as Dataset
    from xarray import Dataset as Model

    Number = float
else:

    class _Wire:
        """Base of the hint markers below; ``Marker["unit"]`` is the marker with a unit."""

        kind = "any"

        def __class_getitem__(cls, unit: str) -> Any:
            return typing.Annotated[cls, Unit(unit)]

    class Field(_Wire):
        """Hint for a gridded or time-dependent quantity (an `xarray.DataArray`): ``Field["m3 s-1"]``."""

        kind = "field"

    class Dataset(_Wire):
        """Hint for several named fields on common coordinates (an `xarray.Dataset`)."""

        kind = "dataset"

    class Table(_Wire):
        """Hint for rows and named columns (a `pandas.DataFrame`)."""

        kind = "table"

    class File(_Wire):
        """Hint for a reference to a file; the process receives a `pathlib.Path`, and the step's key holds its digest."""

        kind = "file"

    class Model(_Wire):
        """Hint for a model: the process receives the dataset that holds it, given as such or as `NAME@champion`."""

        kind = "model"

    class Number(_Wire):
        """Hint for a number with a unit: ``Number["K"]``; the process receives a float in that unit."""

        kind = "number"


@dataclass(frozen=True)
class ValueType:
    """What a parameter takes or a process returns.

    Attributes:
        kinds: Accepted kinds, each one of `KINDS`.
        unit: UDUNITS spelling, or None when the value has no declared unit.
        nullable: Whether null is accepted.
        choices: The only values accepted, or empty.
        minimum: Least number accepted, or None.
        maximum: Greatest number accepted, or None.
        contract: JSON schema that a standard gives, or None; it decides about literals.
    """

    kinds: tuple[str, ...] = ("any",)
    unit: str | None = None
    nullable: bool = False
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    contract: Any = field(default=None, repr=False, compare=False)

    @property
    def is_any(self) -> bool:
        """Return whether every kind of value is accepted."""
        return "any" in self.kinds

    def accepts(self, other: ValueType) -> bool:
        """Return whether a value of type `other` may be handed to this type, units aside."""
        if self.is_any or other.is_any:
            return True
        offered = set(other.kinds) | ({"number"} if "integer" in other.kinds else set())
        # A model is a dataset with a note on it; whether a dataset has that note is seen when it is there.
        offered |= {"model", "dataset"} if offered & {"model", "dataset"} else set()
        return bool(offered & set(self.kinds))

    def complaint(self, value: Any) -> str | None:
        """Return why the literal `value` does not fit, or None when it fits."""
        if isinstance(value, Mapping) and set(value) == {"from_result"}:
            return None  # a stored result: its kind is checked when it is loaded
        if self.contract is not None:
            return complaint_about(value, self.contract)
        if value is None:
            return None if self.nullable or self.is_any else "null is not accepted"
        if self.choices and value not in self.choices:
            return f"{value!r} is not one of {', '.join(map(repr, self.choices))}"
        if not self.is_any and not any(_fits(kind, value) for kind in self.kinds):
            return f"{value!r} is not {self.spoken()}"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._bounds_complaint(value)
        return None

    def _bounds_complaint(self, value: float) -> str | None:
        unit = f" {self.unit}" if self.unit else ""
        if math.isnan(value) and (self.minimum is not None or self.maximum is not None):
            return "NaN lies within no bounds"
        if self.minimum is not None and value < self.minimum:
            return f"{value:g}{unit} is below the minimum of {self.minimum:g}{unit}"
        if self.maximum is not None and value > self.maximum:
            return f"{value:g}{unit} is above the maximum of {self.maximum:g}{unit}"
        return None

    def spoken(self) -> str:
        """Return the type in words, like ``a field in m3 s-1``."""
        words = " or ".join(("an " if kind[0] in "aeiou" else "a ") + kind for kind in self.kinds)
        return f"{words} in {self.unit}" if self.unit else words

    def schema(self) -> dict[str, Any] | list[dict[str, Any]]:
        """Return the openEO JSON Schema of this type (a list when several kinds are accepted)."""
        schemas = [self._schema_of(kind) for kind in self.kinds]
        return schemas[0] if len(schemas) == 1 else schemas

    def _schema_of(self, kind: str) -> dict[str, Any]:
        schema: dict[str, Any] = {}
        if kind in _JSON_TYPE:
            plain = _JSON_TYPE[kind]
            schema["type"] = [plain, "null"] if self.nullable else plain
        elif kind != "any":
            schema = {"type": ["object", "null"] if self.nullable else "object"}
            schema |= {"subtype": "datacube" if kind in ("field", "dataset") else kind}
        if kind in ("file", "field", "dataset", "model"):
            schema.setdefault("subtype", "uri")
            schema["gemel:kind"] = kind
        extras = {
            "unit": self.unit,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "enum": list(self.choices) or None,
        }
        return schema | {name: extra for name, extra in extras.items() if extra is not None}

    @classmethod
    def from_schema(cls, schema: Any) -> ValueType:
        """Return the type that an openEO JSON Schema describes; what is not understood counts as `any`."""
        schemas = schema if isinstance(schema, list) else [schema or {}]
        kinds = tuple(dict.fromkeys(_kind_of_schema(item) for item in schemas))
        first = schemas[0] if schemas else {}
        nullable = any("null" in _as_list(item.get("type", [])) for item in schemas)
        return cls(
            kinds or ("any",),
            first.get("unit"),
            nullable,
            tuple(first.get("enum") or ()),
            first.get("minimum"),
            first.get("maximum"),
        )


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the type hints of `function` by parameter name.

    Raises:
        InvalidInput: A hint names something that its module does not have.
    """
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        hint = "Import what the hint names at the top of the module."
        raise InvalidInput(f"The hints of '{function.__name__}' cannot be read: {error}.", hint=hint) from error


def type_of_hint(hint: Any) -> ValueType:
    """Return the `ValueType` of a resolved Python type hint.

    Raises:
        InvalidInput: The hint cannot travel between processes.

    >>> type_of_hint(Field["m3 s-1"])
    ValueType(kinds=('field',), unit='m3 s-1', nullable=False, choices=(), minimum=None, maximum=None)
    """
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _annotated(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(hint))
    if origin is typing.Literal:
        choices = typing.get_args(hint)
        return replace(type_of_hint(type(choices[0])), choices=choices)
    return ValueType((_kind_of_class(origin or hint),))


def _annotated(hint: Any) -> ValueType:
    base, *notes = typing.get_args(hint)
    value_type = type_of_hint(base)
    for note in notes:
        if isinstance(note, Unit):
            value_type = replace(value_type, unit=note.unit)
        elif isinstance(note, Bounds):
            value_type = replace(value_type, minimum=note.minimum, maximum=note.maximum)
    return value_type


def _union(members: tuple[Any, ...]) -> ValueType:
    parts = [type_of_hint(member) for member in members if member is not type(None)]
    kinds = tuple(dict.fromkeys(kind for part in parts for kind in part.kinds))
    unit = next((part.unit for part in parts if part.unit), None)
    return replace(parts[0], kinds=kinds, unit=unit, nullable=type(None) in members)


def _kind_of_class(hint: Any) -> str:
    if hint in (Field, Dataset, Table, File, Model, Number) and hasattr(hint, "kind"):
        return str(hint.kind)
    named = (getattr(hint, "__module__", "").split(".")[0], getattr(hint, "__name__", ""))
    if named in _FOREIGN:
        return _FOREIGN[named]
    if named == ("pathlib", "Path"):
        return "file"
    if hint in (typing.Any, *_CLASSES):
        return _CLASSES.get(hint, "any")
    if getattr(hint, "__module__", "") == "collections.abc":
        return "object" if hint.__name__ == "Mapping" else "list"
    raise InvalidInput(
        f"The hint {hint!r} is not a type that travels between processes.",
        hint="Use Field, Dataset, Table, File, Model, Number, or float, int, str, bool, list, dict.",
    )


def _fits(kind: str, value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {
        # A bare number stands for a constant field, as openEO lets numbers stand beside cubes.
        "field": number,
        "number": number,
        "integer": number and float(value).is_integer() if number else False,
        "text": isinstance(value, str),
        "file": isinstance(value, str),
        "model": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "list": isinstance(value, list),
        "object": isinstance(value, dict),
        "table": isinstance(value, list),
        "dataset": False,
    }[kind]


def _kind_of_schema(schema: dict[str, Any]) -> str:
    if schema.get("gemel:kind") in KINDS:
        return str(schema["gemel:kind"])
    if schema.get("subtype") in ("datacube", "raster-cube"):
        return "field"
    if schema.get("subtype") == "table":
        return "table"
    plain = [name for name in _as_list(schema.get("type", [])) if name != "null"]
    back = {"number": "number", "integer": "integer", "string": "text", "boolean": "boolean", "array": "list"}
    return back.get(plain[0], "object") if len(plain) == 1 else "any"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""From what a person writes for a twin's parameters to numbers in the declared units, inside the declared bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gemel.base import units
from gemel.base.errors import GemelError, InvalidInput, OutOfBounds, UnitMismatch, not_found
from gemel.core.graph import Graph, Parameter, ValueType
from gemel.core.twin._manifest import ParameterSpec
from gemel.core.twin._package import Twin


def resolve(twin: Twin, graph: Graph, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments to run `graph` with: `given` first, then the twin's parameters, models, settings and datasets.

    A number is in the unit that `twin.toml` declares; a text may carry another one (``"130 %"``, ``"1.5 K"``). The graph
    gets it in the unit of its own parameter.

    Raises:
        NotFound: A name is neither a parameter of the twin nor of the graph.
        UnitMismatch: A unit measures something else than the parameter.
        OutOfBounds: A value is not between minimum and maximum.
    """
    wanted = {parameter.name: parameter for parameter in graph.parameters}
    specs = twin.manifest.parameters
    for name in given:
        if name not in specs and name not in wanted:
            raise not_found(f"parameter of twin '{twin.id}'", name, {*specs, *wanted}, command=f"gemel card {twin.id}")
    idle = [name for name in given if name not in wanted]
    if idle:
        users = [other for other, found in twin.graphs.items() if {item.name for item in found.parameters} >= set(idle)]
        hint = f"Graphs that do: {', '.join(users)}." if users else f"gemel card {twin.id}"
        message = f"Graph '{graph.id}' of twin '{twin.id}' does not use {', '.join(map(repr, idle))}."
        raise InvalidInput(message, hint=hint, names=idle)
    arguments: dict[str, Any] = {}
    for name, parameter in wanted.items():
        if name in specs:
            value = value_of(name, specs[name], given.get(name, specs[name].default))
            arguments[name] = _in_unit_of(parameter, specs[name], value)
        elif name in given:
            arguments[name] = _as_wanted(given[name], parameter.type)
        else:
            arguments |= _bound(twin, parameter)
    return arguments


def _bound(twin: Twin, parameter: Parameter) -> dict[str, Any]:
    """Return what `twin.toml` binds a parameter to, or its default, by its name; nothing where there is neither."""
    name, manifest = parameter.name, twin.manifest
    if name in manifest.models:
        # The model itself where one is taken, else what it is to become.
        return {name: f"{twin.id}.{name}@champion" if "model" in parameter.type.kinds else manifest.models[name]}
    for table in (manifest.settings, manifest.datasets):
        if name in table:
            return {name: table[name]}
    return {} if parameter.required else {name: parameter.default}


def value_of(name: str, spec: ParameterSpec, given: Any) -> float:
    """Return the number meant by `given` in the parameter's unit.

    Raises:
        InvalidInput: It is not a number.
        UnitMismatch: Its unit measures something else.
        OutOfBounds: It is not between minimum and maximum.
    """
    try:
        value = _number(spec, given)
    except UnitMismatch as error:
        hint = f"'{name}' is in '{spec.unit}'."
        raise UnitMismatch(f"Parameter '{name}': {error.message}", hint=hint, **error.context) from error
    except GemelError as error:
        raise InvalidInput(f"Parameter '{name}': {error.message}", hint=error.hint) from error
    low, high = spec.minimum, spec.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        message = f"Parameter '{name}' = {value:g} {spec.unit} lies outside {_bounds(spec)}."
        raise OutOfBounds(message, hint="Choose a value inside.", name=name, value=value, minimum=low, maximum=high)
    if not math.isfinite(value):
        raise InvalidInput(f"Parameter '{name}': infinity is not a value.")
    return value


def _in_unit_of(parameter: Parameter, spec: ParameterSpec, value: float) -> float:
    unit = parameter.type.unit
    if unit is None:
        return value
    try:
        convert = units.convert_difference if spec.difference else units.convert
        return float(convert(value, spec.unit, unit))
    except UnitMismatch as error:
        message = f"Parameter '{parameter.name}' is in '{spec.unit}' in twin.toml, and the graph takes '{unit}'."
        raise UnitMismatch(message, hint="Declare one unit in both.", **error.context) from error


def _number(spec: ParameterSpec, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise InvalidInput(f"{given!r} is not a number.")
    if isinstance(given, str):
        if spec.difference:
            bare, unit = units.split_quantity(given)
            return bare if not unit else units.convert_difference(bare, unit, spec.unit)
        return units.parse_quantity(given, spec.unit)
    if given != given:
        raise InvalidInput("NaN is not a value.")
    return float(given)


def _as_wanted(value: Any, wanted: ValueType) -> Any:
    # On a command line the year 2016 is a number; a parameter that takes text means its digits.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return str(value) if number and wanted.kinds == ("text",) else value


def _bounds(spec: ParameterSpec) -> str:
    low = "-∞" if spec.minimum is None else f"{spec.minimum:g}"
    high = "∞" if spec.maximum is None else f"{spec.maximum:g}"
    return f"[{low}, {high}] {spec.unit}"

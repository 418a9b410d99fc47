"""What `twin.toml` may say. Unknown keys are errors with a suggestion; every problem is reported with its place."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gemel.base import units
from gemel.base.clock import parse_duration
from gemel.base.errors import GemelError, TwinInvalid, did_you_mean
from gemel.core.learn.models import Description
from gemel.core.twin._stream_tables import BufferTable, TriggerSpec, WindowTable

MANIFEST = "twin.toml"
# The year of a version is no hindrance: any three numbers, optionally with a pre-release tag (semver.org, 2.0.0).
_Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$")]
_Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class TwinTable(_Table):
    """`[twin]`: who the twin is."""

    id: _Identifier
    version: _Version = "0.1.0"
    title: str = ""
    summary: str = ""
    licence: str = ""
    citation: str = ""
    contact: str = ""
    main: str = ""
    of: str = ""


class PhysicalTable(_Table):
    """`[physical]`: the thing that is mirrored, how often, and how well."""

    title: str = ""
    description: str = ""
    place: str = ""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    sync: str = "1 d"
    fidelity: dict[str, str] = {}

    @field_validator("sync")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_duration(value)
        return value

    @field_validator("fidelity")
    @classmethod
    def _measurable(cls, value: dict[str, str]) -> dict[str, str]:
        for text in value.values():
            units.check_unit(units.split_quantity(text)[1] or "1")
        return value


class SourceSpec(BaseModel):
    """`[sources.NAME]`: where observations come from; keys beside these are the source's own options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str
    ahead: str = "1 h"
    limit_events: Annotated[int, Field(ge=1)] | None = None
    limit_bytes: Annotated[int, Field(ge=1)] | None = None

    @field_validator("ahead")
    @classmethod
    def _readable(cls, value: str) -> str:
        parse_duration(value)
        return value

    @property
    def options(self) -> Mapping[str, Any]:
        """Return the source's own options."""
        return dict(self.model_extra or {})


class OutletSpec(BaseModel):
    """`[alerts.NAME]`: where alerts of the twin go out; keys beside `kind` are the outlet's own options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str

    @property
    def options(self) -> Mapping[str, Any]:
        """Return the outlet's own options."""
        return dict(self.model_extra or {})


class ParameterSpec(_Table):
    """`[parameters.NAME]`: a number people may change; becomes slider, `--set` and API field."""

    title: str = ""
    description: str = ""
    unit: str = "1"
    default: float
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    slider: bool = True
    difference: bool = False

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, value: str) -> str:
        return units.check_unit(value)

    @model_validator(mode="after")
    def _ordered(self) -> ParameterSpec:
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:
            raise ValueError(f"minimum {low:g} is above maximum {high:g}")
        if (low is not None and self.default < low) or (high is not None and self.default > high):
            raise ValueError(f"default {self.default:g} lies outside its own bounds")
        return self


class CheckSpec(BaseModel):
    """`[[checks]]`: what must hold; `on` is a dotted path into the outputs of `graph`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: _Identifier
    title: str = ""
    kind: str
    graph: str = "validate"
    on: str
    unit: str | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """Return the check's own options, such as its bar."""
        return dict(self.model_extra or {})


class ViewSpec(BaseModel):
    """`[[views]]`: what the page shows of which output."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: _Identifier
    kind: Literal["plume", "alerts", "indicators", "doubt", "table", "quality", "reliability"]
    title: str = ""
    output: str = ""

    @property
    def options(self) -> Mapping[str, Any]:
        """Return the view's own options."""
        return dict(self.model_extra or {})


class Manifest(_Table):
    """The whole of `twin.toml`."""

    twin: TwinTable
    physical: PhysicalTable = PhysicalTable()
    datasets: dict[str, str] = {}
    settings: dict[str, str | int | float | bool] = {}
    sources: dict[str, SourceSpec] = {}
    windows: dict[str, WindowTable] = {}
    buffers: dict[str, BufferTable] = {}
    alerts: dict[str, OutletSpec] = {}
    models: dict[_Identifier, dict[str, Any]] = {}
    parameters: dict[str, ParameterSpec] = {}
    graphs: dict[str, str] = {}
    triggers: tuple[TriggerSpec, ...] = ()
    checks: tuple[CheckSpec, ...] = ()
    views: tuple[ViewSpec, ...] = ()

    @field_validator("models")
    @classmethod
    def _described(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        # An instance may say less than the whole, over what its parent says: what is read is what was merged.
        return {name: Description.read(table).document() for name, table in value.items()}

    @property
    def id(self) -> str:
        """Return the twin's id."""
        return self.twin.id


def read_manifest(path: Path, parent: Mapping[str, Any] | None = None) -> tuple[Manifest, dict[str, Any]]:
    """Return the manifest in `path` (over that of a `parent` twin for an instance) and its raw tables.

    Raises:
        TwinInvalid: The file cannot be read, is not TOML, or says something that makes no sense; names each place.
    """
    raw = read_tables(path)
    merged = raw if parent is None else _over(parent, raw)
    try:
        return Manifest.model_validate(merged), merged
    except ValidationError as error:
        raise _invalid(path, error) from error
    except GemelError as error:
        raise TwinInvalid(f"{path}: {error.message}", hint=error.hint) from error


def read_tables(path: Path) -> dict[str, Any]:
    """Return the raw tables of a `twin.toml`.

    Raises:
        TwinInvalid: The file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TwinInvalid(f"{path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise TwinInvalid(
            f"{path} is not TOML: {error}.", hint="Mind quotes and brackets near the place named."
        ) from error


def _over(parent: Mapping[str, Any], child: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(parent)
    for name, value in child.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = _over(merged[name], value) if both else value
    return merged


def _invalid(path: Path, error: ValidationError) -> TwinInvalid:
    problems = []
    for item in error.errors():
        place = ".".join(map(str, item["loc"])) or "file"
        if item["type"] == "extra_forbidden":
            known = _fields_at(item["loc"][:-1])
            message = f"unknown key. {did_you_mean(str(item['loc'][-1]), known)}".strip()
        else:
            message = item["msg"].removeprefix("Value error, ")
        problems.append(f"[{place}] {message}")
    return TwinInvalid(
        f"{path}: {' '.join(problems)}", hint="The tables and keys: docs/twin-toml.md", problems=problems
    )


def _fields_at(place: tuple[int | str, ...]) -> list[str]:
    tables: dict[str, type[BaseModel]] = {
        "": Manifest,
        "twin": TwinTable,
        "physical": PhysicalTable,
        "parameters": ParameterSpec,
        "triggers": TriggerSpec,
        "windows": WindowTable,
        "buffers": BufferTable,
    }
    table = tables.get(str(place[0]) if place else "")
    return list(table.model_fields) if table else []

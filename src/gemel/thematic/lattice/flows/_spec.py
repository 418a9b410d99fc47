"""What a flow is to be: one small document from which it is built, trained and stored; works without PyTorch."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from gemel.base.errors import InvalidInput, NotFound, did_you_mean
from gemel.base.plugins import require
from gemel.thematic.lattice._phi4 import Phi4
from gemel.thematic.lattice._u1 import U1

THEORIES = ("phi4", "u1")
PRIORS = {"phi4": ("shells", "noise"), "u1": ("von-mises", "uniform")}
GRADIENTS = ("path", "reparametrised")
_LIMITS = {
    "extent": (4, 64), "layers": (0, 96), "hidden": (1, 512), "knots": (0, 64), "reach": (0, 16),
    "steps": (1, 10_000_000), "batch": (1, 1_000_000), "seed": (0, 2**62),
}  # fmt: skip


@dataclass(frozen=True)
class FlowSpec:
    """A flow, its theory and its training.

    Attributes:
        theory: `phi4` or `u1`.
        extent: Sites each way; even for phi4, a multiple of 4 for u1.
        mass_squared: m^2 of phi4.
        coupling: lambda of phi4.
        beta: Of u1, where the flow is made for one.
        span: Lowest and highest beta of u1 for one conditional flow over all of these.
        prior: `shells` (learned power spectrum, then a learned function of every site) or `noise` for phi4; `von-mises`
            or `uniform` plaquettes for u1.
        layers: Coupling layers.
        hidden: Units of each of the two hidden layers of their networks.
        knots: Bins of the splines; 0 makes the couplings of phi4 affine.
        reach: Sites to each side that the networks see.
        defence: Share of samples that come from the prior itself, for u1: see `Defended`. Training does not know it.
        gradient: `path` (less noise, twice the work a step) or `reparametrised`.
        steps: Optimiser steps, a fixed number; the learning rate falls along a cosine.
        batch: Samples a step.
        learning_rate: Of Adam.
        precision: `float32` or `float64`, in training.
        seed: Of weights and noise.

    >>> FlowSpec(theory="u1", extent=8, beta=2.0).target()
    U1(beta=2.0)
    """

    theory: str
    extent: int
    mass_squared: float | None = None
    coupling: float | None = None
    beta: float | None = None
    span: tuple[float, float] | None = None
    prior: str = ""
    layers: int = 8
    hidden: int = 16
    knots: int = 4
    reach: int = 1
    defence: float = 0.0
    gradient: str = "path"
    steps: int = 500
    batch: int = 128
    learning_rate: float = 2e-3
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no flow can be made of."""
        if self.theory not in THEORIES:
            raise InvalidInput(f"No flow for the theory '{self.theory}'.", hint=f"One of {', '.join(THEORIES)}.")
        object.__setattr__(self, "prior", self.prior or PRIORS[self.theory][0])
        for name, choices in (
            ("prior", PRIORS[self.theory]),
            ("gradient", GRADIENTS),
            ("precision", ("float32", "float64")),
        ):
            if getattr(self, name) not in choices:
                raise InvalidInput(
                    f"{name} = '{getattr(self, name)}' is none of a flow for {self.theory}.",
                    hint=f"One of {', '.join(choices)}.",
                )
        for name, (low, high) in _LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise InvalidInput(f"{name} = {getattr(self, name)} of a flow is not within {low} to {high}.")
        if not 0.0 <= self.defence < 1.0 or (self.defence and self.theory != "u1"):
            raise InvalidInput(
                f"defence = {self.defence} of a flow for {self.theory} cannot be.", hint="0; for u1 below 1."
            )
        if not 0.0 < self.learning_rate < math.inf:
            raise InvalidInput(f"learning_rate = {self.learning_rate} is not positive.")
        self._check_phi4() if self.theory == "phi4" else self._check_u1()

    def _check_phi4(self) -> None:
        if self.mass_squared is None or self.coupling is None or self.beta is not None or self.span is not None:
            raise InvalidInput("A flow for phi4 needs mass_squared and coupling, and knows neither beta nor span.")
        if self.extent % 2:
            raise InvalidInput(f"A checkerboard does not close on {self.extent} sites.", hint="Take an even extent.")
        Phi4(self.mass_squared, self.coupling)

    def _check_u1(self) -> None:
        if (self.beta is None) == (self.span is None) or self.mass_squared is not None or self.coupling is not None:
            raise InvalidInput("A flow for u1 needs either beta or span, and no other coupling.")
        if self.extent % 4:
            raise InvalidInput(f"Stripes of period 4 do not close on {self.extent} sites.", hint="A multiple of 4.")
        if self.knots < 1:
            raise InvalidInput("Couplings of u1 are splines: knots is 1 or more.")
        low, high = self.span or (self.beta, math.inf)
        if low is None or not 0.0 < low < high:
            raise InvalidInput(f"beta from {low} to {high} cannot be.", hint="Above 0, the lowest first.")

    def target(self, beta: float | None = None) -> Phi4 | U1:
        """Return the theory that the flow is for; of a conditional one that at `beta`.

        Raises:
            InvalidInput: A conditional flow without a beta, or one outside of its span.
        """
        if self.theory == "phi4":
            assert self.mass_squared is not None and self.coupling is not None
            return Phi4(self.mass_squared, self.coupling)
        if self.span is None:
            assert self.beta is not None
            return U1(self.beta)
        if beta is None or not self.span[0] <= beta <= self.span[1]:
            raise InvalidInput(f"This flow is for beta from {self.span[0]:g} to {self.span[1]:g}, not {beta}.")
        return U1(beta)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> FlowSpec:
        """Return the specification that a JSON object, or a table of YAML or TOML, spells.

        Raises:
            InvalidInput: A key is unknown, or a value cannot be.
        """
        known = {item.name: str(item.type) for item in fields(cls)}
        for name in document:
            if name not in known:
                raise InvalidInput(f"A flow has no '{name}'.", hint=did_you_mean(name, known))
        if "theory" not in document or "extent" not in document:
            raise InvalidInput("A flow names at least its theory and its extent.")
        return cls(**{name: _typed(name, value, known[name]) for name, value in document.items()})

    def document(self) -> dict[str, Any]:
        """Return the specification as JSON; `read` turns it back."""
        told = asdict(self)
        return {**told, "span": None if self.span is None else list(self.span)}


def _typed(name: str, value: Any, kind: str) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None and "None" in kind:
        return None
    if kind.startswith("tuple") and isinstance(value, (list, tuple)) and len(value) == 2:
        return float(value[0]), float(value[1])
    if kind == "str" and isinstance(value, str):
        return value
    if kind.startswith("float") and number:
        return float(value)
    if kind == "int" and number and float(value).is_integer():
        return int(value)
    raise InvalidInput(f"{name} = {value!r} of a flow is no {kind.partition(' ')[0]}.")


def read_spec(path: Path) -> FlowSpec:
    """Return the specification in a file: JSON, TOML or YAML by its ending.

    Raises:
        NotFound: There is no such file.
        InvalidInput: The file does not hold one.
        MissingExtra: A YAML file, and no ruamel.yaml.
    """
    if not path.is_file():
        raise NotFound(f"There is no file '{path}'.")
    document = _parsed(path)
    if not isinstance(document, Mapping):
        raise InvalidInput(f"'{path.name}' holds no specification of a flow.")
    return FlowSpec.read(document)


def _parsed(path: Path) -> Any:
    broken: tuple[type[Exception], ...] = (ValueError,)
    parse: Callable[[str], Any] = tomllib.loads if path.suffix == ".toml" else json.loads
    if path.suffix in (".yaml", ".yml"):
        ruamel = require("ruamel.yaml", extra="cwl")
        parse, broken = ruamel.YAML(typ="safe", pure=True).load, (ValueError, ruamel.error.YAMLError)
    try:
        return parse(path.read_text(encoding="utf-8"))
    except broken as error:
        where = str(error).strip().splitlines()[-1].strip()
        raise InvalidInput(f"'{path.name}' cannot be read: {where}.") from error

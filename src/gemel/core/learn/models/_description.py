"""What a model is to become: one description from which it is trained, evaluated, registered and served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gemel.base.errors import InvalidInput, did_you_mean
from gemel.core.learn.samples import Port, read_ports


@dataclass(frozen=True)
class Description:
    """What is to be learned, by which kind of model, and how.

    Attributes:
        kind: Name of a kind of model, see `gemel plugins models`.
        inputs: What goes in.
        outputs: What comes out; none for models that only draw samples of their inputs.
        options: Of the kind, such as `hidden = [32, 32]`.
        training: How it is trained, see `gemel.core.learn.training.Settings`.
        split: How data are parted, see `gemel.core.learn.samples.SplitRule`.
        uncertainty: How doubt is made, such as `{method = "ensemble", members = 5, conformal = true}`; empty for none.
        metrics: Names of what is measured beside the loss.
        title: For people.

    >>> told = Description.read({"kind": "mlp", "inputs": {"rain": "mm d-1"}, "outputs": {"flow": "m3 s-1"}})
    >>> Description.read(told.document()) == told
    True
    """

    kind: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
    uncertainty: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    title: str = ""

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Description:
        """Return the description that a JSON object or a table of `twin.toml` spells.

        Raises:
            InvalidInput: A key is unknown or of the wrong form, or no kind or no input is named.
        """
        known = {item.name for item in fields(cls)}
        for name in document:
            if name not in known:
                raise InvalidInput(f"A description has no '{name}'.", hint=did_you_mean(name, known))
        if not document.get("kind") or not document.get("inputs"):
            raise InvalidInput("A description names a kind and at least one input.", hint="gemel plugins models")
        tables = {name: document.get(name, {}) for name in ("options", "training", "split", "uncertainty")}
        for name, table in tables.items():
            if not isinstance(table, Mapping):
                raise InvalidInput(f"'{name}' of a description is a table.")
        return cls(
            kind=str(document["kind"]),
            inputs=read_ports(document["inputs"], "inputs"),
            outputs=read_ports(document.get("outputs", {}), "outputs"),
            metrics=tuple(document.get("metrics", ())),
            title=str(document.get("title", "")),
            **{name: dict(table) for name, table in tables.items()},
        )

    def document(self) -> dict[str, Any]:
        """Return the description as JSON; `read` turns it back."""
        return {
            "kind": self.kind,
            "inputs": [port.document() for port in self.inputs],
            "outputs": [port.document() for port in self.outputs],
            "options": dict(self.options),
            "training": dict(self.training),
            "split": dict(self.split),
            "uncertainty": dict(self.uncertainty),
            "metrics": list(self.metrics),
            "title": self.title,
        }

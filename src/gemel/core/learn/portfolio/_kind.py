"""A kind of model of gemel's own: known without its framework, which is imported when a learner is made."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.core.learn.models import Description, Learner
from gemel.core.learn.portfolio._options import Option, read_options, table_of
from gemel.core.learn.uncertainty import Doubt

Maker = Callable[[Description, Mapping[str, Any]], Learner]


@dataclass(frozen=True)
class PortfolioKind:
    """A kind of model, as `gemel.core.learn.models.Kind` asks for it.

    Attributes:
        name: As descriptions name it.
        framework: `torch`, `sklearn` or `keras`.
        task: `regression` (which classifies too, where outputs are int64) or `generation`.
        draws: Whether its answers can be drawn.
        told: What it is, good for, not good for, and from where; Markdown.
        made: Module and function that makes the learner.
        shown: A description that trains in seconds.
        options: By name.
        packages: What must be installed beside gemel, with the extra that brings it.
        methods: Ways of uncertainty that it knows, beside none.
    """

    name: str
    framework: str
    task: str
    draws: bool
    told: str
    made: str
    shown: Mapping[str, Any]
    options: Mapping[str, Option] = field(default_factory=dict)
    packages: tuple[tuple[str, str], ...] = (("torch", "ml"),)
    methods: tuple[str, ...] = ("ensemble",)

    @property
    def card(self) -> str:
        """Return what it is, its options and its ways of uncertainty; Markdown."""
        ways = ", ".join(f"`{name}`" for name in self.methods) or "none"
        options = table_of(self.options) if self.options else "It has no options."
        return (
            f"# {self.name}\n\n{self.told.strip()}\n\n## Options\n\n{options}\n\n## Uncertainty\n\nMethods: {ways}.\n"
        )

    def learner(self, description: Description) -> Learner:
        """Return a learner with fresh weights.

        Raises:
            InvalidInput: An option is unknown or cannot be, the ports do not fit, or the way of uncertainty is not its own.
            MissingExtra: Its framework is not installed.
        """
        options = read_options(self.name, self.options, description.options)
        method = Doubt.read(description.uncertainty).method
        if method not in ("none", *self.methods):
            message = f"A model of the kind '{self.name}' has no uncertainty by '{method}'."
            raise InvalidInput(message, hint=f"It has none, {', '.join(self.methods)}.")
        # Keras takes its backend from the environment when it is first imported.
        if self.framework == "keras":
            os.environ.setdefault("KERAS_BACKEND", "torch")
        for package, extra in self.packages:
            require(package, extra=extra)
        module, _, function = self.made.partition(":")
        make = cast("Maker", getattr(importlib.import_module(module), function))
        return make(description, options)

    def example(self) -> Description:
        """Return a description of a size that trains in seconds."""
        return Description.read({"kind": self.name, **self.shown})

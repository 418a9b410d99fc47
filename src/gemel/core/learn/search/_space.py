"""What is searched: names of settings, each with its range or its choices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from gemel.base.errors import InvalidInput, did_you_mean

_RANGE = ("low", "high", "log", "step")


@dataclass(frozen=True)
class SearchSpace:
    """What a search may vary.

    Attributes:
        ranges: By name; `{"low": 1e-4, "high": 0.1, "log": True}` (whole numbers where both ends are), with `step` for a
            grid, or `{"choices": [[16], [32, 32]]}` of any JSON. A dot in a name leads into a table: `options.hidden`.

    >>> SearchSpace.read({"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}}).names
    ['learning_rate']
    """

    ranges: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> SearchSpace:
        """Return the space that a JSON object spells.

        Raises:
            InvalidInput: A range is empty, or spelled in no way that is known.
        """
        if not document:
            raise InvalidInput("There is nothing to search: the space is empty.", hint="Name at least one setting.")
        space = cls({name: dict(_table(name, found)) for name, found in document.items()})
        space.distributions()
        return space

    @property
    def names(self) -> list[str]:
        """Return what is varied."""
        return list(self.ranges)

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the space as Optuna takes it."""
        return {name: _distribution(name, found) for name, found in self.ranges.items()}

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return drawn values by name, choices as they were given."""
        return {name: json.loads(value) if "choices" in self.ranges[name] else value for name, value in drawn.items()}

    def drawn(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values as Optuna keeps them: the inverse of `values`."""
        return {name: _text(value) if "choices" in self.ranges[name] else value for name, value in values.items()}


def _table(name: str, found: Any) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise InvalidInput(f"'{name}' of a search is a table with low and high, or with choices.")
    for key in found:
        if key not in (*_RANGE, "choices"):
            raise InvalidInput(f"'{name}' of a search has no '{key}'.", hint=did_you_mean(key, (*_RANGE, "choices")))
    return found


def _distribution(name: str, found: Mapping[str, Any]) -> BaseDistribution:
    try:
        if "choices" in found:
            # Optuna compares and stores choices as texts, so lists are given to it as such.
            return CategoricalDistribution([_text(choice) for choice in found["choices"]])
        low, high, log, step = found["low"], found["high"], bool(found.get("log", False)), found.get("step")
        if all(isinstance(end, int) and not isinstance(end, bool) for end in (low, high)):
            return IntDistribution(low, high, log=log, step=1 if step is None else step)
        return FloatDistribution(float(low), float(high), log=log, step=step)
    except KeyError as error:
        raise InvalidInput(f"'{name}' of a search lacks {error}.", hint="Write low and high, or choices.") from error
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"'{name}' of a search cannot be: {error}") from error


def _text(choice: Any) -> str:
    return json.dumps(choice, sort_keys=True)

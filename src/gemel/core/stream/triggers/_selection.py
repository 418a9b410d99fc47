"""Which events of a stream are meant: by type, by subject, and by what their data say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from gemel.base.errors import InvalidInput
from gemel.core.stream.events import Event


@dataclass(frozen=True)
class Selection:
    """A choice among events; everything that is given must hold.

    Attributes:
        types: CloudEvents types, any of them; with ``*`` and ``?`` as in file names. None given: all.
        subject: Pattern of the subject, with ``*`` and ``?``; datasets have ``scope:name``.
        where: What must hold of values of the data, by name (``tank.level`` for a value inside an object): bounds
            ``(low, high)``, both included, None for an open side; or the value itself, a text, number or boolean.

    >>> from datetime import UTC, datetime
    >>> high = Selection(types=("gemel.dataset.*",), subject="rain:2024-*", where={"files": (1, None)})
    >>> event = Event("e", "gemel.dataset.created", "/lake", datetime(2024, 1, 1, tzinfo=UTC), {"files": 3}, "rain:2024-05")
    >>> high.matches(event)
    True
    """

    types: tuple[str, ...] = ()
    subject: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse conditions that are neither bounds nor a plain value."""
        for name, wanted in self.where.items():
            if not (_are_bounds(wanted) or isinstance(wanted, (str, int, float, bool))):
                hint = "Write [low, high], with null for an open side, or a value."
                raise InvalidInput(f"The condition on '{name}' is neither bounds nor a value.", hint=hint, name=name)

    def matches(self, event: Event) -> bool:
        """Return whether the event is meant; one without a value that a condition names is not."""
        if self.types and not any(fnmatchcase(event.type, pattern) for pattern in self.types):
            return False
        if self.subject is not None and not fnmatchcase(event.subject or "", self.subject):
            return False
        return all(_holds(found(event.data, name), wanted) for name, wanted in self.where.items())


def found(data: Mapping[str, Any], name: str) -> Any:
    """Return the value of `name` in the data, of ``a.b`` inside an object; None when there is none."""
    if name in data:
        return data[name]
    value: Any = data
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _are_bounds(wanted: Any) -> bool:
    if not isinstance(wanted, Sequence) or isinstance(wanted, str) or len(wanted) != 2:
        return False
    return all(side is None or (isinstance(side, (int, float)) and not isinstance(side, bool)) for side in wanted)


def _holds(value: Any, wanted: Any) -> bool:
    if not _are_bounds(wanted):
        return (type(value) is type(wanted) and bool(value == wanted)) or _same_number(value, wanted)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    low, high = wanted
    return (low is None or value >= low) and (high is None or value <= high)


def _same_number(value: Any, wanted: Any) -> bool:
    both = (value, wanted)
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in both) and value == wanted

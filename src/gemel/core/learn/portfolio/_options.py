"""Options of a kind of model: their defaults, what they may be, and what the card says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gemel.base.errors import InvalidInput, did_you_mean


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        default: What it is when nothing is said.
        told: What it does, for the card.
        form: What it may be, in words.
        fits: Whether a value is of that form.
    """

    default: Any
    told: str
    form: str
    fits: Callable[[Any], bool]


def whole(default: int | None, told: str, least: int = 1) -> Option:
    """Return an option that is a whole number of at least `least`; None stays None where it is the default.

    >>> whole(3, "depth").fits(0), whole(3, "depth").fits(2), whole(3, "depth").fits(True)
    (False, True, False)
    """

    def fits(value: Any) -> bool:
        return (value is None and default is None) or (_is_whole(value) and value >= least)

    return Option(default, told, f"a whole number of {least} or more", fits)


def number(default: float | None, told: str, low: float = 0.0, high: float = float("inf")) -> Option:
    """Return an option that is a number between `low` and `high`, both included."""

    def fits(value: Any) -> bool:
        if value is None:
            return default is None
        return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high

    return Option(default, told, f"a number from {low:g} to {high:g}", fits)


def choice(default: str | None, told: str, among: Sequence[str]) -> Option:
    """Return an option that is one of several words."""
    words = tuple(among)
    return Option(default, told, f"one of {', '.join(words)}", lambda value: value in words or value is default)


def flag(default: bool, told: str) -> Option:
    """Return an option that is true or false."""
    return Option(default, told, "true or false", lambda value: isinstance(value, bool))


def text(default: str, told: str) -> Option:
    """Return an option that is a word, checked by what uses it."""
    return Option(default, told, "a word", lambda value: isinstance(value, str) and bool(value))


def wholes(default: Sequence[int], told: str, *, empty: bool = False) -> Option:
    """Return an option that is a list of whole numbers of 1 or more, such as widths of layers."""

    def fits(value: Any) -> bool:
        return _is_list(value) and (empty or len(value) > 0) and all(_is_whole(item) and item >= 1 for item in value)

    return Option(tuple(default), told, "a list of whole numbers of 1 or more", fits)


def table(told: str) -> Option:
    """Return an option that is a table of further settings, empty when nothing is said."""
    return Option({}, told, "a table", lambda value: isinstance(value, Mapping))


def rows(told: str, width: int | None = None) -> Option:
    """Return an option that is a list of lists of numbers, each of `width` numbers where that is said; empty by default."""

    def fits(value: Any) -> bool:
        return _is_list(value) and all(_is_list(row) and width in (None, len(row)) for row in value)

    return Option((), told, "a list of lists of numbers", fits)


def layers(told: str) -> Option:
    """Return an option that is a list of tables, each with a `class`."""

    def fits(value: Any) -> bool:
        return _is_list(value) and all(
            isinstance(item, Mapping) and isinstance(item.get("class"), str) for item in value
        )

    return Option((), told, "a list of tables, each with a class", fits)


def read_options(kind: str, options: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of a kind, as given or by default; lists as tuples.

    Raises:
        InvalidInput: An option is unknown, or its value is of another form; says which and what it may be.

    >>> read_options("mlp", {"hidden": wholes([8], "widths")}, {"hidden": [4, 4]})
    {'hidden': (4, 4)}
    """
    for name, value in given.items():
        if name not in options:
            message = f"A model of the kind '{kind}' has no option '{name}'."
            raise InvalidInput(message, hint=did_you_mean(name, options) or f"It has {', '.join(options)}.")
        if not options[name].fits(value):
            raise InvalidInput(f"Option '{name}' of '{kind}' is {value!r}.", hint=f"It is {options[name].form}.")
    chosen = {name: given.get(name, option.default) for name, option in options.items()}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}


def table_of(options: Mapping[str, Option]) -> str:
    """Return the options as a Markdown table."""
    lines = [f"| `{name}` | `{_shown(item.default)}` | {item.told} ({item.form}) |" for name, item in options.items()]
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *lines])


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)

"""Texts (openEO process specification, group `texts`)."""

from __future__ import annotations

import json
from typing import Any

from gemel.core.processes._standard import standard


@standard
def text_begins(data: str | None, pattern: str, case_sensitive: bool = True) -> bool | None:
    """Whether a text begins with another; null of null.

    Args:
        data: The text.
        pattern: What it may begin with, taken literally.
        case_sensitive: Whether case matters.
    """
    return None if data is None else _folded(data, case_sensitive).startswith(_folded(pattern, case_sensitive))


@standard
def text_ends(data: str | None, pattern: str, case_sensitive: bool = True) -> bool | None:
    """Whether a text ends with another; null of null.

    Args:
        data: The text.
        pattern: What it may end with, taken literally.
        case_sensitive: Whether case matters.
    """
    return None if data is None else _folded(data, case_sensitive).endswith(_folded(pattern, case_sensitive))


@standard
def text_contains(data: str | None, pattern: str, case_sensitive: bool = True) -> bool | None:
    """Whether a text contains another; null of null.

    Args:
        data: The text.
        pattern: What is looked for, taken literally.
        case_sensitive: Whether case matters.
    """
    return None if data is None else _folded(pattern, case_sensitive) in _folded(data, case_sensitive)


@standard
def text_find(data: str | None, pattern: str, case_sensitive: bool = True) -> int | None:
    """Position of the first occurrence of a text in another, from zero; null for none.

    Args:
        data: The text.
        pattern: What is looked for, taken literally.
        case_sensitive: Whether case matters.
    """
    if data is None:
        return None
    found = _folded(data, case_sensitive).find(_folded(pattern, case_sensitive))
    return None if found < 0 else found


@standard
def text_concat(data: list[Any], separator: Any = "") -> str:
    """Values written one after the other, numbers and booleans as JSON writes them.

    Args:
        data: Values.
        separator: Written between two of them.
    """
    return _written(separator).join(map(_written, data))


def _folded(text: str, case_sensitive: bool) -> str:
    return text if case_sensitive else text.casefold()


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

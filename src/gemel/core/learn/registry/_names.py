"""Names of models and references to their versions: `NAME`, `NAME@champion`, `NAME@3`, `NAME@3#digest`."""

from __future__ import annotations

import re

from gemel.base.errors import InvalidInput

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}(\.[a-z][a-z0-9_-]{0,62})?")
_REFERENCE = re.compile(r"(?P<name>[^@#\s]+)(@(?P<at>[a-z]+|[0-9]+))?(#(?P<digest>[0-9a-f]{8,64}))?")


def check_name(name: str) -> str:
    """Return the name of a model, `NAME` or `TWIN.NAME`.

    >>> check_name("earlywarning.residual")
    'earlywarning.residual'

    Raises:
        InvalidInput: It is no such name.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"'{name}' is no name of a model.", hint="Small letters, digits, - and _; TWIN.NAME for a model of a twin."
        )
    return name


def parse_reference(reference: str) -> tuple[str, str, str | None]:
    """Return (name, alias or number, digest or None) of a reference; nothing behind the name means the champion.

    >>> parse_reference("level@3")
    ('level', '3', None)
    >>> parse_reference("level")
    ('level', 'champion', None)

    Raises:
        InvalidInput: It is no reference.
    """
    found = _REFERENCE.fullmatch(reference.strip())
    if found is None:
        raise InvalidInput(f"'{reference}' names no model.", hint="NAME@champion, NAME@challenger or NAME@3")
    return check_name(found["name"]), found["at"] or "champion", found["digest"]

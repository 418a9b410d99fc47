"""What the processes that load and save share: names of exceptions, and conditions on metadata."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gemel.base.errors import InvalidInput, ProcessRefused
from gemel.core.cubes import callback
from gemel.core.graph import surroundings
from gemel.infra.lake.collections import Wanted, area, interval


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Raise what the lake refuses for a reason that the specification names as the specification's exception."""
    try:
        yield
    except ProcessRefused:
        raise
    except InvalidInput as error:
        if "exception" not in error.context:
            raise
        raise ProcessRefused(error.message, hint=error.hint, **error.context) from error


def wanted_part(spatial_extent: Any, temporal_extent: Any, bands: Any) -> Wanted:
    """Return the part of a collection that a process's arguments ask for.

    Raises:
        InvalidInput: An extent is malformed or empty.
    """
    return Wanted(area(spatial_extent), interval(temporal_extent), bands)


def kept_by(properties: Any) -> Callable[[Mapping[str, Any]], bool] | None:
    """Return whether an item or collection meets all conditions on its properties; None for no conditions."""
    if not properties:
        return None
    conditions = {str(name): callback(child) for name, child in properties.items()}

    def keep(document: Mapping[str, Any]) -> bool:
        return all(condition(value=_property(document, name)) is True for name, condition in conditions.items())

    return keep


def roots() -> list[Path]:
    """Return the folders below which the running step may read local documents; everywhere outside of an engine."""
    place = surroundings()
    known = [place.home / "collections" if place.home else None, place.files]
    return [folder for folder in known if folder is not None] or [Path("/")]


def _property(document: Mapping[str, Any], name: str) -> Any:
    plain = name.removeprefix("properties.")
    for holder in (document.get("properties"), document, document.get("summaries")):
        if isinstance(holder, Mapping) and plain in holder:
            return holder[plain]
    return None

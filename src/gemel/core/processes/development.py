"""Looking into a running graph (openEO process specification, group `development`)."""

from __future__ import annotations

import json
import logging
from typing import Any, Literal

import xarray as xr

from gemel.core.cubes import Along, Groups, dimension_kind
from gemel.core.processes._standard import standard

Level = Literal["error", "warning", "info", "debug"]
_LOG = logging.getLogger("gemel.inspect")
# A log line is read by people: longer values are cut.
_LONGEST = 500


@standard(on="groups")
def inspect(data: Any, message: str = "", code: str = "User", level: Level = "info") -> Any:
    """The data, unchanged, after a line about it in the log.

    In a child process that runs on many cells at once there is one line for all of them.

    Args:
        data: What is looked at; of a cube its dimensions are told.
        message: Stands before it.
        code: Tells log lines apart.
        level: Severity.
    """
    _LOG.log(
        getattr(logging, level.upper()), "%s", " ".join(part for part in (f"[{code}]", message, told(data)) if part)
    )
    return data


def told(data: Any) -> str:
    """Return what a log says of a value.

    >>> told([1, None])
    '[1, null]'
    """
    if isinstance(data, Groups):
        return f"{data.count} groups of {told(data.along)}"
    if isinstance(data, Along):
        return f"arrays along '{data.dim}' of {told(data.data)}"
    if isinstance(data, xr.DataArray):
        dims = ", ".join(f"{dim} ({dimension_kind(data, dim)}): {data.sizes[dim]}" for dim in data.dims)
        return f"a cube of {data.dtype} with {dims or 'no dimensions'}"
    try:
        text = json.dumps(data, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(data)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."

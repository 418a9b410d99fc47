"""A pond without rain: temperature makes evaporation, evaporation lowers the level."""

import numpy as np
import xarray as xr

from gemel import Field, Number, graph, process
from gemel_pond.processes import evaporation


@process
def summer(days: int, warming: Number["K"]) -> Field["degC"]:
    """Daily mean temperature of a synthetic summer.

    Args:
        days: How many days.
        warming: How much warmer each day is.
    """
    day = np.arange(days)
    return xr.DataArray(
        18.0 + 6.0 * np.sin(2 * np.pi * day / days) + warming, {"day": day}, "day", "temperature", {"units": "degC"}
    )


@process
def level(depth: Number["mm"], evaporation: Field["mm d-1"]) -> Field["mm"]:
    """Level of the pond at the end of each day, never below its bottom.

    Args:
        depth: Level at the beginning.
        evaporation: What leaves it each day.
    """
    return (depth - evaporation.cumsum("day")).clip(min=0.0).rename("level").assign_attrs(units="mm")


@process
def listed(level: Field["mm"]) -> list:
    """The levels as plain numbers, for a check.

    Args:
        level: Level at the end of each day.
    """
    return level.values.tolist()


@graph
def drought(depth: Number["mm"] = 500.0, warming: Number["K"] = 0.0) -> Field["mm"]:
    """Level of the pond over ninety days without rain."""
    return {"level": level(depth, evaporation(summer(90, warming), 40.0))}


@graph
def validate(depth: Number["mm"] = 500.0, warming: Number["K"] = 0.0):
    """What the checks judge."""
    return {"level": listed(level(depth, evaporation(summer(90, warming), 40.0)))}

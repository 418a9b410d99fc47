"""A synthetic tank, to whose twin others send: two sources, a window over both, a buffer, triggers of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gemel.base.clock import iso

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)

TOML = """
[twin]
id = "tank"
version = "0.1.0"
title = "A synthetic tank"
summary = "Levels and flows that tests send."
licence = "Apache-2.0"

[physical]
title = "No real tank"
latitude = 54.3
longitude = 10.1
sync = "1 min"
fidelity = { level = "10 %" }

[settings]
side = "{side}"

[sources.level]
kind = "webhook"

[sources.flow]
kind = "webhook"
{more}
[[triggers]]
on = "level"
run = "update"
"""

CODE = '''
"""A synthetic tank."""

from __future__ import annotations

import os
from typing import Any

import xarray as xr

from gemel import File, graph, process


def _noted(side: str, line: str) -> None:
    handle = os.open(side, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (line + "\\n").encode())
    os.close(handle)


@process
def taken(state: dict[str, Any] | None, observation: dict[str, Any], side: str) -> dict[str, Any]:
    """Levels up to now."""
    before = state or {"count": 0, "total": 0.0}
    _noted(side, "step " + observation["time"])
    return {"count": before["count"] + 1, "total": before["total"] + (observation["level"] or 0.0)}


@process
def doubt(state: dict[str, Any]) -> dict[str, Any]:
    """A made-up standard error."""
    return {"level": {"standard_error": 0.1, "unit": "m"}}


@process
def noted(side: str, what: str, about: dict[str, Any] | None = None) -> str:
    """Write a line."""
    if what == "poison":
        raise ValueError("this cause is poison")
    _noted(side, what)
    return what


@process
def told_of(event: dict[str, Any]) -> str:
    """The id of an event."""
    return event["id"]


@process
def trained(batch: File, side: str) -> dict[str, Any]:
    """The mean of a batch."""
    with xr.open_dataset(batch) as data:
        if float(data["level"].max()) > 900:
            raise ValueError("these levels cannot be")
        _noted(side, f"trained {data.sizes['time']}")
        return {"mean": float(data["level"].mean()), "count": int(data.sizes["time"])}


@process
def longest(window: dict[str, Any], side: str) -> int:
    """Points of a window."""
    _noted(side, f"window {window['begin']}")
    return sum(window["counts"].values())


@graph
def update(observation: dict[str, Any], side: str, state: dict[str, Any] | None = None):
    """One more level."""
    now = taken(state, observation, side)
    return {"state": now, "uncertainty": doubt(now)}


@graph
def note(side: str, what: str = "noted"):
    """Write a line."""
    return {"line": noted(side, what)}


@graph
def heed(side: str, event: dict[str, Any]):
    """Write down the id of an event."""
    return {"line": noted(side, told_of(event))}


@graph
def train(batch: File, side: str):
    """Train."""
    return {"model": trained(batch, side)}


@graph
def look(side: str, window: dict[str, Any]):
    """Look at a window."""
    return {"points": longest(window, side)}
'''


def write_tank(parent: Path, more: str = "", triggers: str = "") -> Path:
    """Return the folder of the twin; its runs write lines into `side.txt` beside it."""
    folder = parent / "tank"
    folder.mkdir(parents=True)
    text = TOML.replace("{side}", str(parent / "side.txt")).replace("{more}", more)
    (folder / "twin.toml").write_text(text + triggers)
    (folder / "twin.py").write_text(CODE)
    (folder / "README.md").write_text("# Tank\n\nPurpose: tests. Data: synthetic. Quality, limits, licence: none.\n")
    return folder


def lines(parent: Path) -> list[str]:
    """Return the lines that runs wrote."""
    side = parent / "side.txt"
    return side.read_text().splitlines() if side.exists() else []


def levels(values: Iterable[float | None], begin: int = 0) -> bytes:
    """Return a batch of CloudEvents, a level for each minute from minute `begin` on."""
    events = [
        {
            "specversion": "1.0",
            "id": f"level-{number}",
            "type": "gemel.observation",
            "source": "/tests",
            "time": iso(BEGIN + timedelta(minutes=number)),
            "data": {"level": value},
        }
        for number, value in enumerate(values, begin)
    ]
    return json.dumps(events).encode()


BATCH = {"content-type": "application/cloudevents-batch+json"}


def send(engine, values: Iterable[float | None], begin: int = 0, source: str = "level") -> tuple[int, int]:
    """Return (new, known) observations after sending some to the twin."""
    counts = engine.live("tank").receive(source, BATCH, levels(values, begin))
    return counts.received, counts.duplicates

"""What a graph is given of the event that made it run: by the names of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemel.base.clock import iso
from gemel.core.graph import Graph
from gemel.core.stream import Event, State
from gemel.core.twin import Twin, resolve

#: Names of parameters that an event can fill.
FILLED = ("observation", "window", "event", "state", "cause")


def arguments_for(
    twin: Twin, graph: Graph, event: Event, state: State | None, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the arguments of a run of `graph` that `event` brought about.

    `observation` and `window` are what the event says, with its `time`; `event` is the whole CloudEvent; `state` the
    twin's latest one. A graph gets those that it has parameters for.
    """
    said = {"time": iso(event.time), **event.data}
    known: dict[str, Any] = {"observation": said, "window": said, "event": event.document(), "cause": event.id}
    known["state"] = state.document.get("state") if state is not None else None
    wanted = {item.name for item in graph.parameters}
    return resolve(twin, graph, {name: value for name, value in known.items() if name in wanted} | dict(given or {}))

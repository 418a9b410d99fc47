"""Sites without inbound HTTP: an agent at the site calls out, takes tasks of the engine, and does them on a folder there."""

from gemel.infra.lake.agents._agent import Agent
from gemel.infra.lake.agents._channel import Broken, Channel
from gemel.infra.lake.agents._exchange import Exchange, Limits
from gemel.infra.lake.agents._frames import Framed, ending, frame
from gemel.infra.lake.agents._keys import AgentKeys
from gemel.infra.lake.agents._site import Site
from gemel.infra.lake.agents._storage import AgentStorage
from gemel.infra.lake.agents._tasks import Task

__all__ = [
    "Agent",
    "AgentKeys",
    "AgentStorage",
    "Broken",
    "Channel",
    "Exchange",
    "Framed",
    "Limits",
    "Site",
    "Task",
    "ending",
    "frame",
]

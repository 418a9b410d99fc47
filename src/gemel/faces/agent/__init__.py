"""The door for agents of sites at `/agent/v1`: they call for tasks, bring answers, and pass bytes; each with a token of its own."""

from gemel.faces.agent._face import AgentFace

__all__ = ["AgentFace", "face"]

face = AgentFace()

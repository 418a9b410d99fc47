"""What a twin knows: versions of its state, each with the time it is valid for and the time it became known."""

from gemel.core.stream.states._state import State, StateStore

__all__ = ["State", "StateStore"]

"""Where steps run: supervised processes on this machine; sites beyond it are plugins of the group `gemel.compute`."""

from gemel.infra.compute._channel import tell_engine
from gemel.infra.compute._isolated import Stopped, run_isolated

__all__ = ["Stopped", "run_isolated", "tell_engine"]

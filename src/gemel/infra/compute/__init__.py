"""Where and how steps are run: processes of their own, foreign programs in confinement, and their limits."""

from gemel.infra.compute._channel import tell_engine
from gemel.infra.compute._confined import INSIDE, Box, Ended, Limits, confinement, run_confined
from gemel.infra.compute._cwl import CwlResult, read_yaml, run_cwl
from gemel.infra.compute._isolated import Stopped, run_isolated

__all__ = [
    "INSIDE",
    "Box",
    "CwlResult",
    "Ended",
    "Limits",
    "Stopped",
    "confinement",
    "read_yaml",
    "run_confined",
    "run_cwl",
    "run_isolated",
    "tell_engine",
]

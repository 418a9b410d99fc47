"""Functions: processes and scripts deployed to be called, by hand or by every event of a stream, in instances that stay warm."""

from gemel.core.stream.functions._binding import Runnable
from gemel.core.stream.functions._calls import Call, CallTable
from gemel.core.stream.functions._deployments import Deployment
from gemel.core.stream.functions._functions import LARGEST, Functions
from gemel.core.stream.functions._kept import kept
from gemel.core.stream.functions._running import Package, installed, of_package, work_of
from gemel.core.stream.functions._spec import FunctionSpec

__all__ = [
    "LARGEST",
    "Call",
    "CallTable",
    "Deployment",
    "FunctionSpec",
    "Functions",
    "Package",
    "Runnable",
    "installed",
    "kept",
    "of_package",
    "work_of",
]

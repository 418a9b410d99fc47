"""How a graph of cubes is sized before it runs, and streamed through memory tile by tile when it does."""

from gemel.core.tiling._estimate import Estimate, StageEstimate, estimate, foresee
from gemel.core.tiling._evaluate import evaluate
from gemel.core.tiling._reach import Reach, reach_of
from gemel.core.tiling._region import Region

__all__ = ["Estimate", "Reach", "Region", "StageEstimate", "estimate", "evaluate", "foresee", "reach_of"]

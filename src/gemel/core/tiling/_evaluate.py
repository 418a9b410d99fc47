"""Evaluating light steps: alone when their cubes are small, streamed together with what they need when they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from gemel.base.errors import DoesNotFit
from gemel.base.sizes import spoken_size
from gemel.core.graph import Ground, PlannedStep, surroundings
from gemel.core.tiling._reach import is_tiled
from gemel.core.tiling._region import Cut, Region, compatible, cut_of, fused, grow, may_join, views_only
from gemel.core.tiling._sketch import Sketch, sketch
from gemel.core.tiling._stream import Uneven, stream, whole
from gemel.core.tiling._tiles import Tiling, choose

_SMALL = 32_000_000  # bytes of cubes below which cutting them costs more than it saves
_ROOM = 4  # a step that must see everything needs its operands, its result, and as much again while it works


@dataclass(frozen=True)
class Stage:
    """How one value will be computed.

    Attributes:
        region: The steps computed together.
        values: What they start from.
        tiling: How the cubes are cut; None when all is computed in one go.
    """

    region: Region
    values: Mapping[str, Any]
    cut: Cut | None = None
    sketch: Sketch | None = None
    tiling: Tiling | None = None


def evaluate(root: PlannedStep, ground: Ground) -> Any:
    """Return the value of a light step.

    Raises:
        DoesNotFit: It needs more memory than the run may use.
        StepFailed: One of the steps failed.
    """
    if views_only(root, ground):
        return ground.compute(root, ground.load)
    stage = stage_of(root, ground)
    if stage.tiling is None or stage.sketch is None:
        return whole(stage.region, stage.values, ground)
    try:
        return stream(stage.region, stage.tiling, stage.sketch, stage.values, ground)
    except Uneven:
        # Such as sorting that drops what is missing: only all cells together tell the length.
        _require_room(root, stage.values, surroundings().memory)
        return whole(stage.region, stage.values, ground)


def stage_of(root: PlannedStep, ground: Ground) -> Stage:
    """Return how the value of a light step will be computed; what it starts from is computed for that.

    Raises:
        DoesNotFit: It needs more memory than the run may use.
    """
    memory = surroundings().memory
    region = _grown(root, ground)
    values = {name: ground.load(name) for name in region.bases}
    if _bytes(values) <= min(_SMALL, (memory or _SMALL) // _ROOM):
        return Stage(region, values)
    region, values = _cuttable(root, region, values, ground)
    region = fused(region)
    cut = cut_of(region, values)
    sketched = sketch(region, cut, values, ground) if cut else None
    if cut is None or sketched is None:
        _require_room(root, values, memory)
        return Stage(region, values)
    tiling = choose(cut, sketched, values, memory, root.id)
    return Stage(region, values, cut, sketched, tiling)


def _grown(root: PlannedStep, ground: Ground) -> Region:
    if not is_tiled(root.process.id):
        return grow(root, ground, lambda _step: False)
    return grow(root, ground, lambda step: may_join(step, ground))


def _cuttable(
    root: PlannedStep, region: Region, values: dict[str, Any], ground: Ground
) -> tuple[Region, dict[str, Any]]:
    """Return the largest part of the region that can be cut, and what it starts from."""
    kept = compatible(region, values)
    if len(kept) < len(region.steps):
        # What is left out becomes a value of its own, streamed by itself.
        region = grow(root, ground, lambda step: step.id in kept)
        values = values | {name: ground.load(name) for name in region.bases if name not in values}
    return region, {name: values[name] for name in region.bases}


def _require_room(root: PlannedStep, values: Mapping[str, Any], memory: int | None) -> None:
    needed = _ROOM * _bytes(values)
    if memory is not None and needed > memory:
        raise DoesNotFit(
            f"Step '{root.id}' ({root.process.id}) must see all of its data at once, about {spoken_size(needed)} with"
            f" what it makes of it; {spoken_size(memory)} may be used.",
            hint="Give a smaller extent or fewer bands, reduce a dimension earlier, or raise the limit: --set runs.memory='8 GB'",
            needed=needed,
            limit=memory,
            step=root.id,
        )


def _bytes(values: Mapping[str, Any]) -> int:
    return sum(int(value.nbytes) for value in values.values() if isinstance(value, xr.DataArray))

"""What a run will need, told before it runs: shapes, tiles, memory and bytes to read."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import DoesNotFit, GemelError, StepFailed
from gemel.base.sizes import spoken_size
from gemel.core.graph import Ground, Performer, Plan, PlannedStep
from gemel.core.tiling._evaluate import Stage, stage_of
from gemel.core.tiling._reach import is_view
from gemel.core.tiling._region import views_only
from gemel.core.tiling._sketch import run
from gemel.core.tiling._tiles import Tiling

_FOREIGN = frozenset({"run_udf"})


@dataclass(frozen=True)
class StageEstimate:
    """What one value needs that is computed from cubes.

    Attributes:
        node: The step whose value it is.
        steps: The steps computed together for it.
        shape: Length of the value along each dimension; empty where only running it can tell.
        dtype: Type of its values.
        tile: Cells of a tile along each dimension that is cut; empty when all is computed in one go.
        tiles: Number of tiles.
        peak: Bytes of memory needed at once.
        reads: Bytes that are decoded; chunks that lie in several tiles count as often.
        stored: Bytes of the chunks as stored, where the files tell; else None.
    """

    node: str
    steps: tuple[str, ...]
    shape: Mapping[str, int]
    dtype: str
    tile: Mapping[str, int]
    tiles: int
    peak: int
    reads: int
    stored: int | None

    def __str__(self) -> str:
        """Return the estimate as people read it."""
        shape = " × ".join(f"{name} {size}" for name, size in self.shape.items()) or "unknown until it runs"
        how = f"{self.tiles} tile{'s' if self.tiles > 1 else ''} of {' × '.join(f'{name} {size}' for name, size in self.tile.items())}"
        cut = how if self.tile else "in one go"
        return (
            f"{' → '.join(self.steps)}: result {shape} ({self.dtype}), {cut}, "
            f"memory {spoken_size(self.peak)}, reads {spoken_size(self.reads)}"
        )

    def document(self) -> dict[str, Any]:
        """Return the estimate as JSON; sizes in bytes."""
        return {
            "node": self.node,
            "steps": list(self.steps),
            "shape": dict(self.shape),
            "dtype": self.dtype,
            "tile": dict(self.tile),
            "tiles": self.tiles,
            "peak_bytes": self.peak,
            "read_bytes": self.reads,
            "stored_bytes": self.stored,
        }


@dataclass(frozen=True)
class Estimate:
    """What a run needs as far as it can be told before it runs.

    Attributes:
        stages: One for each value that is computed from cubes, in the order of the run.
        unknown: Steps whose needs only running them can tell.
    """

    stages: tuple[StageEstimate, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def seconds(self) -> None:
        """Return None: how long it takes depends on the machine, and nobody knows before."""

    @property
    def size(self) -> int | None:
        """Return the bytes of the last value that is computed from cubes, uncompressed, or None where nobody knows."""
        known = [stage for stage in self.stages if stage.shape]
        return math.prod(known[-1].shape.values()) * np.dtype(known[-1].dtype).itemsize if known else None

    @property
    def peak(self) -> int:
        """Return the bytes of memory needed at once by the hungriest stage."""
        return max((stage.peak for stage in self.stages), default=0)

    @property
    def reads(self) -> int:
        """Return the bytes read in all, uncompressed."""
        return sum(stage.reads for stage in self.stages)

    def document(self) -> dict[str, Any]:
        """Return the estimate as JSON; sizes in bytes."""
        stages = [stage.document() for stage in self.stages]
        return {
            "peak_bytes": self.peak,
            "read_bytes": self.reads,
            "stages": stages,
            "unknown": list(self.unknown),
        }


class _Unknown(Exception):
    """Only running the step can tell."""


@dataclass
class _Estimator:
    plan: Plan
    ground: Callable[[Callable[[str], Any]], Ground]
    stages: list[StageEstimate] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def value(self, name: str) -> Any:
        """Return a stand-in for a step's value: the real thing where that reads nothing, else its shape without content."""
        if name not in self.values:
            self.values[name] = self._stand_in(self.plan.steps[name])
        if isinstance(self.values[name], _Unknown):
            raise self.values[name]
        return self.values[name]

    def _stand_in(self, step: PlannedStep) -> Any:
        if step.process.durable:
            return _Unknown(step.id)
        ground = self.ground(self.value)
        if views_only(step, ground):
            return ground.compute(step, ground.load)
        if _runs_foreign_code(step):
            self.unknown.append(step.id)
            return _Unknown(step.id)
        try:
            return self._sized(stage_of(step, ground), ground)
        except _Unknown as reason:
            self.unknown.append(step.id)
            return reason

    def _sized(self, stage: Stage, ground: Ground) -> Any:
        if stage.tiling is None or stage.sketch is None:
            result = _tried(stage, ground)
        else:
            result = _hollow(stage, stage.sketch.shapes[stage.region.root.id])
        self.stages.append(_stage_estimate(stage, result))
        if result is None:
            raise _Unknown(stage.region.root.id)
        return result


def estimate(plan: Plan, ground: Callable[[Callable[[str], Any]], Ground]) -> Estimate:
    """Return what running `plan` needs; files are opened for it, but no values read.

    Args:
        plan: The plan.
        ground: Makes the ground to stand on from a function that gives the value of a step by its id.

    Raises:
        DoesNotFit: A step needs more memory than the run may use.
        StepFailed: What a step selects is not there.
    """
    estimator = _Estimator(plan, ground)
    for name in _roots(plan):
        with contextlib.suppress(_Unknown):
            estimator.value(name)
    return Estimate(tuple(estimator.stages), tuple(dict.fromkeys(estimator.unknown)))


def foresee(plan: Plan, performer: Performer) -> list[str]:
    """Return in lines what a plan needs that starts from stored cubes; nothing for any other plan.

    Raises:
        DoesNotFit: A step needs more memory than the run may use.
        StepFailed: What a step selects is not there.
    """
    if not any(is_view(step.process.id) and not step.sources for step in plan.steps.values()):
        return []
    return [f"planned {stage}" for stage in estimate(plan, performer.ground).stages]


def _roots(plan: Plan) -> Iterator[str]:
    outputs = set(plan.outputs.values())
    for name, step in plan.steps.items():
        needed = name in outputs or any(plan.steps[consumer].process.durable for consumer in plan.consumers[name])
        if needed and not step.process.durable and step.sources:
            yield name


def _runs_foreign_code(step: PlannedStep) -> bool:
    """Return whether trying a step would start people's own code, which is done in a run and nowhere else."""
    return step.process.id in _FOREIGN or _calls_foreign_code(step.arguments)


def _calls_foreign_code(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.get("process_id") in _FOREIGN or any(map(_calls_foreign_code, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_calls_foreign_code, value))


def _tried(stage: Stage, ground: Ground) -> Any:
    """Return the shape of a value that is computed in one go, if trying it on ones tells."""
    if any(isinstance(value, xr.DataArray) and value.nbytes > 64_000_000 for value in stage.values.values()):
        return None
    ones = {name: _ones(value) for name, value in stage.values.items()}
    try:
        return run(stage.region, ones, ground)[0][stage.region.root.id]
    except (DoesNotFit, StepFailed):
        # Ones may be refused where the data would not be; the run will tell.
        return None
    except GemelError:
        return None


def _ones(value: Any) -> Any:
    return value.copy(data=np.ones(value.shape, value.dtype)) if isinstance(value, xr.DataArray) else value


def _hollow(stage: Stage, shape: Mapping[str, int]) -> xr.DataArray:
    assert stage.sketch is not None
    thin = stage.sketch.result
    values = np.broadcast_to(np.ones((), thin.dtype), tuple(shape.values()))
    cubes = [value for value in stage.values.values() if isinstance(value, xr.DataArray)]
    coordinates = {}
    for name, size in shape.items():
        known = [cube.coords[name] for cube in (thin, *cubes) if name in cube.coords and cube.sizes[name] == size]
        if known:
            coordinates[name] = known[0].variable
    return xr.DataArray(values, coordinates, tuple(shape), attrs=thin.attrs)


def _stage_estimate(stage: Stage, result: Any) -> StageEstimate:
    cubes = [value for value in stage.values.values() if isinstance(value, xr.DataArray)]
    size = sum(int(cube.nbytes) for cube in cubes)
    lazy = [cube for cube in cubes if not cube._in_memory]
    made = result.nbytes if isinstance(result, xr.DataArray) else 0
    tiling = stage.tiling
    return StageEstimate(
        node=stage.region.root.id,
        steps=tuple(stage.region.steps),
        shape={str(name): length for name, length in result.sizes.items()} if made else {},
        dtype=str(result.dtype) if made else "",
        tile=dict(tiling.sizes) if tiling else {},
        tiles=tiling.count if tiling else 1,
        peak=tiling.peak if tiling else 2 * size + made,
        reads=sum(int(cube.nbytes * _repeated(cube, tiling)) for cube in lazy),
        stored=_stored(lazy, tiling),
    )


def _repeated(cube: xr.DataArray, tiling: Tiling | None) -> float:
    """Return how often the average stored chunk is decoded: more than once where tiles are smaller than chunks."""
    chunks = cube.encoding.get("preferred_chunks", {})
    times = 1.0
    for name, tile in (tiling.sizes if tiling else {}).items():
        chunk, length = int(chunks.get(name, 0)), int(cube.sizes.get(name, 0))
        if chunk and length:
            starts = np.arange(0, length, tile)
            stops = np.minimum(starts + tile, length)
            touched = (np.ceil(stops / chunk) - starts // chunk).sum()
            times *= float(touched) / math.ceil(length / chunk)
    return times


def _stored(cubes: list[xr.DataArray], tiling: Tiling | None) -> int | None:
    known = [_stored_part(cube) for cube in cubes]
    if not known or None in known:
        return None
    return sum(int(size * _repeated(cube, tiling)) for cube, size in zip(cubes, known, strict=True) if size is not None)


def _stored_part(cube: xr.DataArray) -> int | None:
    stored = cube.encoding.get("stored_bytes")
    original = cube.encoding.get("original_shape")
    if stored is None or original is None:
        return None
    return int(stored() * cube.size / max(math.prod(original), 1))

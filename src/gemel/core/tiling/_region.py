"""Which steps are computed together: the largest part of a graph, ending in one step, that can work on parts of cubes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr

from gemel.core.cubes import dimension_kind
from gemel.core.graph import Ground, PlannedStep
from gemel.core.tiling._reach import Reach, is_tiled, is_view, reach_of


@dataclass(frozen=True)
class Region:
    """Steps that are computed together.

    Attributes:
        steps: In an order in which each comes after what it needs; the last one is the root.
        bases: Steps outside whose values they start from.
    """

    steps: Mapping[str, PlannedStep]
    bases: tuple[str, ...]

    @property
    def root(self) -> PlannedStep:
        """Return the step whose value is wanted."""
        return list(self.steps.values())[-1]


def grow(root: PlannedStep, ground: Ground, allowed: Callable[[PlannedStep], bool]) -> Region:
    """Return the region of `root`: what it needs, as far as it is allowed and nobody outside needs it too."""
    plan = ground.plan
    found: dict[str, PlannedStep] = {}
    seen: dict[str, int] = {}
    stack = [root]
    while stack:
        step = stack.pop()
        found[step.id] = step
        for name in step.sources:
            seen[name] = seen.get(name, 0) + 1
            source = plan.steps[name]
            # A value that others need too is made once and kept, so it is a base.
            if seen[name] == len(plan.consumers[name]) and allowed(source):
                stack.append(source)
    return Region(dict(reversed(found.items())), tuple(name for name in seen if name not in found))


def may_join(step: PlannedStep, ground: Ground) -> bool:
    """Return whether a step can work on parts of cubes and is not a mere selection from what a file holds."""
    return not step.process.durable and is_tiled(step.process.id) and not views_only(step, ground)


def views_only(step: PlannedStep, ground: Ground) -> bool:
    """Return whether the step and all before it only select, so that nothing is read before it is used."""
    stack = [step]
    while stack:
        one = stack.pop()
        if not is_view(one.process.id):
            return False
        stack.extend(ground.plan.steps[name] for name in one.sources)
    return True


def fused(region: Region) -> Region:
    """Return the region with chains as one step that their processes know how to compute at once (`Process.fuse`)."""
    steps: Mapping[str, PlannedStep] = dict(region.steps)
    for step in region.steps.values():
        if step.process.fuse is not None and step.id in steps:
            steps = step.process.fuse(step, steps) or steps
    return Region(steps, region.bases)


@dataclass(frozen=True)
class Cut:
    """Along which dimensions the cubes of a region may be cut, and how.

    Attributes:
        dimensions: Their full lengths by name.
        blocks: Cuts lie at multiples of so many cells.
        halo: So many cells more are needed on either side.
    """

    dimensions: Mapping[str, int]
    blocks: Mapping[str, int]
    halo: Mapping[str, int]


def cut_of(region: Region, values: Mapping[str, Any]) -> Cut | None:
    """Return how the region may be cut, or None when one of its steps cannot work on parts of these cubes."""
    cubes = _cubes(values)
    return _common_cut(list(reaches_of(region, cubes).values()), cubes)


def compatible(region: Region, values: Mapping[str, Any]) -> set[str]:
    """Return which steps, taken from the root backwards, can work on the same parts of the cubes."""
    cubes = _cubes(values)
    reaches = reaches_of(region, cubes)
    kept: dict[str, Reach | None] = {}
    for name in reversed(list(region.steps)):
        if name == region.root.id or _common_cut([*kept.values(), reaches[name]], cubes):
            kept[name] = reaches[name]
    return set(kept)


def _cubes(values: Mapping[str, Any]) -> list[xr.DataArray]:
    return [value for value in values.values() if isinstance(value, xr.DataArray) and value.ndim]


def _common_cut(reaches: list[Reach | None], cubes: list[xr.DataArray]) -> Cut | None:
    known = [reach for reach in reaches if reach is not None]
    if not cubes or len(known) < len(reaches):
        return None
    whole = frozenset().union(*(reach.whole for reach in known))
    largest = max(cubes, key=lambda cube: cube.nbytes)
    free = {str(name): size for name, size in largest.sizes.items() if name not in whole and _agree(cubes, str(name))}
    blocks = _largest(known, "blocks")
    halo = _largest(known, "halo", total=True)
    # Blocks would have to be cut at other places inside a halo than in the whole.
    free = {name: size for name, size in free.items() if not (blocks and halo.get(name))}
    free = {name: size for name, size in free.items() if _counted_from_front(largest, name, blocks.get(name), known)}
    return Cut(free, blocks, halo) if free else None


def _counted_from_front(cube: xr.DataArray, name: str, block: int | None, reaches: list[Reach]) -> bool:
    """Return whether blocks counted from the first cell on are those that the processes mean."""
    if not block or cube.sizes[name] % block == 0:
        return True
    labels = cube[name].values
    rising = len(labels) < 2 or labels[0] < labels[-1]
    return all(reach.begins.get(name, "low") == ("low" if rising else "high") for reach in reaches if reach.blocks)


def reaches_of(region: Region, cubes: list[xr.DataArray]) -> dict[str, Reach | None]:
    """Return how far each step of the region reaches across these cubes."""
    kinds = {str(name): dimension_kind(cube, str(name)) for cube in cubes for name in cube.dims}
    return {name: reach_of(step.process.id, step.arguments, kinds) for name, step in region.steps.items()}


def _agree(cubes: list[xr.DataArray], dimension: str) -> bool:
    having = [cube for cube in cubes if dimension in cube.dims]
    first = having[0]
    return all(_same_labels(first, other, dimension) for other in having[1:])


def _same_labels(one: xr.DataArray, other: xr.DataArray, dimension: str) -> bool:
    if one.sizes[dimension] != other.sizes[dimension]:
        return False
    indexes = one.indexes.get(dimension), other.indexes.get(dimension)
    return indexes[0] is None or indexes[1] is None or bool(indexes[0].equals(indexes[1]))


def _largest(reaches: list[Reach], member: str, *, total: bool = False) -> dict[str, int]:
    found: dict[str, int] = {}
    for reach in reaches:
        for name, cells in getattr(reach, member).items():
            before = found.get(name, 0)
            # Halos of steps after one another add up; blocks inside blocks multiply.
            found[name] = before + cells if total else max(before, 1) * cells
    return found

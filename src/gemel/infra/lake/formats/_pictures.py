"""A cube as pictures: one for every combination of labels outside of x, y and bands, each with a file name."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from gemel.base.errors import InvalidInput
from gemel.infra.lake._axes import bands_dim, is_temporal, x_dim, y_dim
from gemel.infra.lake._blocks import chunk_sizes, regions
from gemel.infra.lake._grid import Grid, grid_of
from gemel.infra.lake.formats._format import unsuitable
from gemel.infra.lake.formats._values import instants, labels_of, plain

_UNSAFE = re.compile(r"[^A-Za-z0-9.+-]+")
_OPEN_FILES = 64  # pictures written side by side
_MOST_FILES = 10_000


@dataclass(frozen=True)
class Picture:
    """One picture of a cube.

    Attributes:
        labels: Its label along each dimension that was split.
        position: Its position along each of them.
        path: Its file.
    """

    labels: dict[str, Any]
    position: dict[str, int]
    path: Path


Block = tuple[Picture, slice, slice, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Album:
    """All pictures of a cube.

    Attributes:
        cube: The cube, with dimensions (split ones, bands if any, y, x), rows from north to south.
        grid: Where its cells lie.
        split: Names of the dimensions that make pictures.
        bands: Names of the bands; one empty text for a cube without.
        order: Its dimensions as they were.
    """

    cube: xr.DataArray
    grid: Grid
    split: list[str]
    bands: list[str]
    order: list[str]

    def pictures(self, path: Path, suffix: str) -> list[Picture]:
        """Return the pictures, named after `path` and their labels; a single one is named `path` itself."""
        count = int(np.prod([self.cube.sizes[dim] for dim in self.split], dtype=float))
        if count > _MOST_FILES:
            raise unsuitable(suffix, f"it would take {count} files", "Use NetCDF or Zarr, or select fewer labels.")
        labels = {dim: _written(self.cube[dim]) for dim in self.split}
        plain_labels = {dim: _plain(self.cube[dim]) for dim in self.split}
        stem = path.name.removesuffix(suffix)
        found, taken = [], set()
        for position in itertools.product(*(range(self.cube.sizes[dim]) for dim in self.split)):
            at = dict(zip(self.split, position, strict=True))
            name = "_".join([stem, *(_part(self.cube, dim, labels[dim][i]) for dim, i in at.items())])
            if name in taken:
                name += "_" + "-".join(map(str, position))
            taken.add(name)
            file = path if count == 1 else path.with_name(name + suffix)
            found.append(Picture({dim: plain_labels[dim][i] for dim, i in at.items()}, at, file))
        return found

    def blocks(self, pictures: list[Picture], tile: int) -> Iterator[tuple[list[Picture], Iterator[Block]]]:
        """Yield batches of pictures, each with their blocks: the picture, rows, columns and cells (bands, y, x).

        Pictures of a batch are filled side by side, so that a cube kept in chunks of many instants is read only once.
        """
        for begin in range(0, len(pictures), _OPEN_FILES):
            batch = pictures[begin : begin + _OPEN_FILES]
            yield batch, self._blocks(batch, tile)

    def _blocks(self, batch: list[Picture], tile: int) -> Iterator[Block]:
        first = {dim: min(picture.position[dim] for picture in batch) for dim in self.split}
        last = {dim: max(picture.position[dim] for picture in batch) for dim in self.split}
        part = self.cube.isel({dim: slice(first[dim], last[dim] + 1) for dim in self.split})
        wanted = {tuple(picture.position.values()): picture for picture in batch}
        steps = self._steps(tile)
        y, x = list(steps)[:2]
        for region in regions(part.transpose(*steps), steps):
            block = part.isel(region).values
            block = block if len(part.dims) > len(self.split) + 2 else block[..., None, :, :]
            inside = (range(region[dim].stop - region[dim].start) for dim in self.split)
            for position in itertools.product(*inside):
                key = tuple(i + first[dim] + region[dim].start for dim, i in zip(self.split, position, strict=True))
                if key in wanted:
                    yield wanted[key], region[y], region[x], block[position]

    def _steps(self, tile: int) -> dict[str, int]:
        """Return the least block along each dimension, space first: whole tiles of the file, about a chunk of the cube."""
        y, x = str(self.cube.dims[-2]), str(self.cube.dims[-1])
        natural = chunk_sizes(self.cube)
        steps = {dim: math.ceil(min(natural[dim], 8 * tile) / tile) * tile for dim in (y, x)}
        steps |= dict.fromkeys(self.split, 1)
        bands = [str(dim) for dim in self.cube.dims if dim not in steps]
        return steps | {dim: self.cube.sizes[dim] for dim in bands}


def album(cube: xr.DataArray, format: str) -> Album:
    """Return the pictures that a cube makes.

    Raises:
        InvalidInput: It has no regular horizontal grid.
    """
    try:
        grid, mirrored, upside_down = grid_of(cube)
    except InvalidInput as error:
        raise unsuitable(format, error.message.rstrip("."), error.hint) from error
    x, y, bands = str(x_dim(cube)), str(y_dim(cube)), bands_dim(cube)
    backwards = {dim: slice(None, None, -1) for dim, turned in ((x, mirrored), (y, upside_down)) if turned}
    split = [str(dim) for dim in cube.dims if dim not in (x, y, bands)]
    names = labels_of(cube, bands) if bands in cube.coords and bands is not None else [""]
    if bands is not None and bands not in cube.coords:
        names = [str(i + 1) for i in range(cube.sizes[bands])]
    order = [*split, *([bands] if bands else []), y, x]
    turned = cube.isel(backwards).transpose(*order)
    return Album(turned, grid, split, names, [str(dim) for dim in cube.dims])


def _written(labels: xr.DataArray) -> list[str]:
    return instants(labels.values) if is_temporal(labels) else [str(item) for item in labels.values.tolist()]


def _plain(labels: xr.DataArray) -> list[Any]:
    return instants(labels.values) if is_temporal(labels) else [plain(item) for item in labels.values]


def _part(cube: xr.DataArray, dim: str, label: str) -> str:
    safe = _UNSAFE.sub("-", label.replace(":", "")).strip("-.") or "empty"
    return safe if is_temporal(cube[dim]) else f"{_UNSAFE.sub('-', dim)}-{safe}"

"""Carrying a cube onto another mesh, with weights that are computed once and kept."""

from __future__ import annotations

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy import sparse

from gemel.base.errors import InvalidInput
from gemel.base.ids import digest_json
from gemel.core.fusion._mesh import Mesh, mesh_of
from gemel.core.fusion._weights import METHODS
from gemel.core.graph import surroundings

_VERSION = 1  # of the weights: a change of their computation makes kept ones useless
_STANDARD_ERROR = "standard_error"


def regrid(cube: xr.DataArray, target: Mesh, method: str = "bilinear", missing: float = 0.5) -> xr.DataArray:
    """Return the cube on the cells of `target`; all other dimensions stay as they are, uncertainty among them.

    A variable whose `standard_name` ends in `standard_error` is carried over as errors of the cells that do not depend on
    each other: the root of the sum of squares, each with its weight (JCGM 100:2008, equation 10).

    Args:
        cube: A cube on any mesh that `mesh_of` understands.
        target: Where to.
        method: `nearest`, `bilinear` or `conservative`.
        missing: Share of a target cell that may lie on missing values or outside; beyond it the cell is missing.

    Raises:
        InvalidInput: The method is unknown, or nothing tells where the cube's cells are.
    """
    if method not in METHODS:
        raise InvalidInput(f"There is no regridding method '{method}'.", hint=f"One of: {', '.join(METHODS)}.")
    source = mesh_of(cube)
    weights = weights_of(source, target, method)
    used, weights = _needed(source, weights)
    part = cube.isel(used).transpose(..., *source.dims)
    before = [str(dim) for dim in part.dims if dim not in source.dims]
    values = part.values.reshape(-1, weights.shape[1])
    errors = str(cube.attrs.get("standard_name", "")).endswith(_STANDARD_ERROR)
    found = _errors(weights, values) if errors else _means(weights, values, missing)
    shape = tuple(part.sizes[dim] for dim in before) + target.shape
    kept = part.drop_vars([name for name, item in part.coords.items() if set(item.dims) & set(source.dims)])
    made = xr.DataArray(found.reshape(shape), dims=(*before, *target.dims), name=cube.name, attrs=cube.attrs)
    made = made.assign_coords({name: item for name, item in kept.coords.items() if name != "spatial_ref"})
    return made.assign_coords(dict(target.coords))


def weights_of(source: Mesh, target: Mesh, method: str) -> sparse.csr_array:
    """Return the weights (target cells, source cells), from memory or disk where they were computed before."""
    key = digest_json([_VERSION, method, source.digest, target.digest])
    return _weights(key, _Pair(source, target, method), surroundings().home)


class _Pair:
    """What weights are made of; all pairs of one key are alike."""

    def __init__(self, source: Mesh, target: Mesh, method: str) -> None:
        self.source, self.target, self.method = source, target, method

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Pair)


@functools.lru_cache(maxsize=8)
def _weights(key: str, pair: _Pair, home: Path | None) -> sparse.csr_array:
    path = home / "cache" / "weights" / f"{key}.npz" if home else None
    if path is not None and path.is_file():
        return sparse.csr_array(sparse.load_npz(path))
    weights = METHODS[pair.method](pair.source, pair.target)
    if path is not None:
        _keep(weights, path)
    return weights


def _keep(weights: sparse.csr_array, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".npz")
    os.close(handle)
    sparse.save_npz(name, weights, compressed=False)
    # Written aside and moved: another engine sees weights whole or not at all.
    Path(name).replace(path)


def _needed(source: Mesh, weights: sparse.csr_array) -> tuple[dict[str, slice], sparse.csr_array]:
    """Return the part of the source that has any weight, so that no more of it is read, and the weights of that part."""
    columns = np.unique(weights.indices)
    if not columns.size:
        return {}, weights
    places = np.unravel_index(columns, source.shape)
    used = {dim: slice(int(p.min()), int(p.max()) + 1) for dim, p in zip(source.dims, places, strict=True)}
    grid = np.arange(source.size).reshape(source.shape)[tuple(used.values())].ravel()
    return used, weights if grid.size == source.size else sparse.csr_array(weights[:, grid])


def _means(weights: sparse.csr_array, values: Any, missing: float) -> Any:
    floating = values.astype(np.float64 if values.dtype.kind != "f" else values.dtype, copy=False)
    kind = floating.dtype
    weights = weights.astype(kind)
    there = np.isfinite(floating)
    complete = bool(there.all())
    sums = (weights @ (floating if complete else np.where(there, floating, 0)).T).T
    share = weights.sum(axis=1)[None, :] if complete else (weights @ there.T.astype(kind)).T
    enough = share >= max(1 - missing, 1e-6) - 1e-6
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(enough, sums / share, np.nan).astype(kind, copy=False)


def _errors(weights: sparse.csr_array, values: Any) -> Any:
    share = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        normal = sparse.diags_array(np.where(share > 0, 1 / share, np.nan)) @ weights
    return np.sqrt((normal.multiply(normal) @ np.square(values).T).T).astype(values.dtype)

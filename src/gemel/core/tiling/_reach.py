"""How far each process reaches across a cube: along which dimensions it needs the whole, and where it may be cut."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Kinds = Mapping[str, str]  # kind of each dimension by name: temporal, spatial, bands, geometry, other
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Reach:
    """What a process needs around a cell to compute it.

    Attributes:
        whole: Dimensions it needs at their full length.
        blocks: Dimensions that may be cut at multiples of so many cells only.
        halo: Dimensions along which it needs so many cells more on either side.
        begins: At which end the first of the blocks lies: that of the `low` or of the `high` labels.
    """

    whole: frozenset[str] = frozenset()
    blocks: Mapping[str, int] = field(default_factory=dict)
    halo: Mapping[str, int] = field(default_factory=dict)
    begins: Mapping[str, str] = field(default_factory=dict)


_POINT = Reach()


def reach_of(process_id: str, arguments: Arguments, kinds: Kinds) -> Reach | None:
    """Return how far a process reaches, or None for one that must see everything at once.

    Args:
        process_id: Id of the process.
        arguments: Its literal arguments; results of other steps stand as they do in the graph.
        kinds: Kind of each dimension of the cubes that the graph starts from.

    >>> sorted(reach_of("reduce_dimension", {"dimension": "t"}, {"t": "temporal", "x": "spatial"}).whole)
    ['t']
    >>> reach_of("load_collection", {}, {}) is None
    True
    """
    if process_id in _POINTWISE:
        return _POINT
    rule = _RULES.get(process_id)
    return rule(arguments, kinds) if rule else None


def is_view(process_id: str) -> bool:
    """Return whether a process only selects from a lazily read cube or renames parts of it, without reading values."""
    return process_id in _VIEWS


def is_tiled(process_id: str) -> bool:
    """Return whether a process is one that can work on a part of a cube."""
    return process_id in _POINTWISE or process_id in _RULES


# Ids of the openEO process specification 2.0.
_VIEWS = frozenset(
    {"load_collection", "load_stac", "load_url", "load_uploaded_files", "filter_bands", "filter_bbox", "filter_labels"}
    | {"filter_temporal", "rename_dimension", "rename_labels", "drop_dimension", "select"}
)
_POINTWISE = frozenset(
    [
        "absolute",
        "add",
        "apply",
        "arccos",
        "arcosh",
        "arcsin",
        "arctan",
        "arctan2",
        "arsinh",
        "artanh",
        "ceil",
        "clip",
        "cos",
        "cosh",
        "divide",
        "eq",
        "exp",
        "floor",
        "gt",
        "gte",
        "int",
        "is_nan",
        "is_nodata",
        "is_valid",
        "linear_scale_range",
        "ln",
        "log",
        "lt",
        "lte",
        "mask",
        "mask_polygon",
        "merge_cubes",
        "mod",
        "multiply",
        "neq",
        "residuals",
        "normalized_difference",
        "not",
        "power",
        "round",
        "sgn",
        "sin",
        "sinh",
        "sqrt",
        "subtract",
        "tan",
        "tanh",
        "between",
        "add_dimension",
    ]
)


def _named(name: str) -> Callable[[Arguments, Kinds], Reach | None]:
    def rule(arguments: Arguments, _kinds: Kinds) -> Reach | None:
        dimension = arguments.get(name)
        return Reach(frozenset({dimension})) if isinstance(dimension, str) else None

    return rule


def _apply_dimension(arguments: Arguments, _kinds: Kinds) -> Reach | None:
    named = {arguments.get("dimension"), arguments.get("target_dimension")} - {None}
    return Reach(frozenset(map(str, named))) if all(isinstance(item, str) for item in named) else None


def _of_kind(kind: str) -> Callable[[Arguments, Kinds], Reach | None]:
    def rule(arguments: Arguments, kinds: Kinds) -> Reach | None:
        dimension = arguments.get("dimension")
        if isinstance(dimension, str):
            return Reach(frozenset({dimension}))
        return Reach(frozenset(name for name, found in kinds.items() if found == kind))

    return rule


def _filled(arguments: Arguments, kinds: Kinds) -> Reach | None:
    return (
        _over_space(arguments, kinds)
        if arguments.get("method") == "neighbours"
        else _of_kind("temporal")(arguments, kinds)
    )


def _over_space(_arguments: Arguments, kinds: Kinds) -> Reach | None:
    # Where space is not told by its dimensions (curvilinear grids, lists of cells), every other one but time may be it.
    spatial = {name for name, kind in kinds.items() if kind == "spatial"}
    return Reach(frozenset(spatial or {name for name, kind in kinds.items() if kind not in ("temporal", "bands")}))


def _window(arguments: Arguments, kinds: Kinds) -> Reach | None:
    size, align = arguments.get("size"), arguments.get("align", "upper-left")
    axes = _axes(kinds)
    if not isinstance(size, (list, tuple)) or len(size) != 2 or not isinstance(align, str) or axes is None:
        return None
    corner = ("low" if "left" in align else "high", "high" if "upper" in align else "low")
    blocks = {axis: int(cells) for axis, cells in zip(axes, size, strict=True)}
    return Reach(blocks=blocks, begins=dict(zip(axes, corner, strict=True)))


def _kernel(arguments: Arguments, kinds: Kinds) -> Reach | None:
    kernel, axes = arguments.get("kernel"), _axes(kinds)
    if not isinstance(kernel, (list, tuple)) or not kernel or axes is None:
        return None
    width = len(kernel[0]) if isinstance(kernel[0], (list, tuple)) else 1
    return Reach(halo={axes[0]: width // 2, axes[1]: len(kernel) // 2})


def _axes(kinds: Kinds) -> tuple[str, str] | None:
    """Return the names of the x and the y dimension, when they are told by their usual names."""
    spatial = [name for name, kind in kinds.items() if kind == "spatial"]
    x = [name for name in spatial if name.lower() in ("x", "lon", "longitude", "easting")]
    y = [name for name in spatial if name.lower() in ("y", "lat", "latitude", "northing")]
    return (x[0], y[0]) if len(x) == len(y) == 1 else None


_RULES: dict[str, Callable[[Arguments, Kinds], Reach | None]] = {
    "reduce_dimension": _named("dimension"),
    "apply_dimension": _apply_dimension,
    "fit_curve": _named("dimension"),
    "predict_curve": _named("dimension"),
    "filter_labels": _named("dimension"),
    "array_interpolate_linear": _of_kind("temporal"),
    "aggregate_temporal": _of_kind("temporal"),
    "aggregate_temporal_period": _of_kind("temporal"),
    "resample_cube_temporal": _of_kind("temporal"),
    "climatological_normal": _of_kind("temporal"),
    "anomaly": _of_kind("temporal"),
    "anomaly_means": _of_kind("temporal"),
    "filter_temporal": _of_kind("temporal"),
    "filter_bands": _of_kind("bands"),
    "filter_bbox": _of_kind("spatial"),
    "drop_dimension": _named("name"),
    "ndvi": _of_kind("bands"),
    "aggregate_spatial": _of_kind("spatial"),
    "reduce_spatial": _of_kind("spatial"),
    "resample_spatial": _of_kind("spatial"),
    "resample_cube_spatial": _of_kind("spatial"),
    "regrid": _over_space,
    "harmonise": _of_kind("temporal"),
    "fill_gaps": _filled,
    "aggregate_spatial_window": _window,
    "apply_kernel": _kernel,
}

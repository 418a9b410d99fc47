"""ROOT: trees and RNTuples as tables, histograms as cubes, through uproot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import xarray as xr

from gemel.base.errors import did_you_mean
from gemel.base.plugins import require
from gemel.base.sizes import spoken_size
from gemel.infra.lake._guard import CHUNK_LIMIT
from gemel.infra.lake.formats._format import Format, Options, reading, unreadable, unsuitable

_NAME = "ROOT"
MAGIC = b"root"
_TABLES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple", "ROOT::Experimental::RNTuple")
_AXES = ("x", "y", "z")


def _read(path: Path, options: Options) -> Any:
    return open_root(path, path, options)


def open_root(source: Path | BinaryIO, path: Path, options: Options) -> pd.DataFrame | xr.DataArray:
    """Return the table or histogram of a ROOT file; of a table only the bytes of the columns wanted are read.

    Args:
        source: The file, or a seekable one whose ranges are read.
        path: Its name in messages.
        options: `object`, `variables`, `start`, `stop`.

    Raises:
        InvalidInput: It is damaged, holds several and none is named, or does not fit into memory.
    """
    with reading(_NAME, path), contextlib.ExitStack() as stack:
        _check_whole(stack.enter_context(source.open("rb")) if isinstance(source, Path) else source, path)
        file = stack.enter_context(_opened(source))
        kinds = {name: kind for name, kind in file.classnames(recursive=True, cycle=False).items() if _known(kind)}
        name = _chosen(kinds, options["object"], path)
        found = file[name]
        if kinds[name] in _TABLES:
            return _table(found, options, name)
        return _histogram(found, name)


def _check_whole(stream: BinaryIO, path: Path) -> None:
    """Raise unless the file is as long as its header says (ROOT Reference Guide, TFile: fEND)."""
    head = stream.read(20)
    if head[:4] != MAGIC or len(head) < 20:
        raise unreadable(_NAME, path, "it does not begin as ROOT files do")
    # Files beyond 2 GB add a million to their version, and tell their end in 8 bytes.
    large = int.from_bytes(head[4:8], "big") >= 1_000_000
    end = int.from_bytes(head[12:20] if large else head[12:16], "big")
    size = stream.seek(0, 2)
    stream.seek(0)
    if end > size:
        raise unreadable(_NAME, path, f"it is cut off: it says {end} bytes, and has {size}")


@contextlib.contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[Any]:
    uproot = require("uproot", extra="data")
    with uproot.open(str(source) if isinstance(source, Path) else source) as file:
        yield file


def _known(kind: str) -> bool:
    return kind in _TABLES or (kind[:3] in ("TH1", "TH2", "TH3") and len(kind) == 4)


def _chosen(kinds: dict[str, str], wanted: str | None, path: Path) -> str:
    if wanted is None and len(kinds) == 1:
        return next(iter(kinds))
    shown = ", ".join(f"{name} ({kind})" for name, kind in list(kinds.items())[:20])
    if wanted is None:
        reason = f"'{path.name}' holds {len(kinds)} tables and histograms"
        raise unsuitable(_NAME, reason, f'Name one with the option "object": {shown}.' if kinds else None)
    if wanted not in kinds:
        hint = f"{did_you_mean(wanted, kinds)} Known: {shown or 'none'}.".strip()
        raise unsuitable(_NAME, f"there is no table or histogram '{wanted}' in the file", hint)
    return wanted


def _table(tree: Any, options: Options, name: str) -> pd.DataFrame:
    keys = list(tree.keys(recursive=False))
    wanted = options["variables"]
    for key in wanted or ():
        if key not in keys:
            hint = f"{did_you_mean(key, keys)} Known: {', '.join(keys[:20])}.".strip()
            raise unsuitable(_NAME, f"'{name}' has no column '{key}'", hint)
    chosen = keys if wanted is None else list(wanted)
    start, stop = options["start"], min(options["stop"] or tree.num_entries, tree.num_entries)
    size = sum(int(getattr(tree[key], "uncompressed_bytes", 0)) for key in chosen)
    share = size * max(0, stop - start) // max(1, tree.num_entries)
    if share > CHUNK_LIMIT:
        hint = 'Take columns with "variables", or rows with "start" and "stop".'
        raise unsuitable(_NAME, f"'{name}' unpacks to {spoken_size(share)}", hint)
    columns = {key: _column(tree[key].array(entry_start=start, entry_stop=stop)) for key in chosen}
    return pd.DataFrame(columns)


def _column(array: Any) -> Any:
    awkward = require("awkward", extra="data")
    try:
        plain = awkward.to_numpy(array)
        return plain if plain.ndim == 1 and plain.dtype.names is None else list(plain)
    except ValueError:
        return awkward.to_list(array)  # rows of different lengths


def _histogram(found: Any, name: str) -> xr.DataArray:
    count = found.values().ndim
    axes = _AXES[:count]
    parts = [found.axis(axis) for axis in range(count)]
    edges = [np.asarray(part.edges(), np.float64) for part in parts]
    cube = xr.DataArray(found.values(), {a: (a, (e[1:] + e[:-1]) / 2) for a, e in zip(axes, edges, strict=True)}, axes)
    for axis, part, edge in zip(axes, parts, edges, strict=True):
        cube[axis].attrs = {"long_name": str(part.member("fTitle") or axis), "edges": edge}
    cube = cube.assign_coords(standard_error=(axes, np.sqrt(found.variances())))
    return cube.rename(name.rpartition("/")[2]).assign_attrs(long_name=str(found.title), units="1")


ROOT = Format(
    name=_NAME,
    title="ROOT (trees, RNTuples, histograms)",
    description=(
        "A tree or RNTuple as a table with its columns, a histogram of one to three dimensions as a cube with its "
        "statistical errors; read only."
    ),
    media_type="application/x-root",
    suffix=".root",
    kinds=("table", "raster"),
    reader=_read,
    input_parameters={
        "object": {"type": ["string", "null"], "default": None, "description": "Name of the tree or histogram."},
        "variables": {
            "type": ["array", "null"],
            "items": {"type": "string"},
            "default": None,
            "description": "Names of the columns of a tree; default all.",
        },
        "start": {"type": "integer", "minimum": 0, "default": 0, "description": "First row of a tree."},
        "stop": {
            "type": ["integer", "null"],
            "minimum": 1,
            "default": None,
            "description": "The row after the last one.",
        },
    },
)

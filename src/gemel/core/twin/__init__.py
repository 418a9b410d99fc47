"""Twins as packages: what `twin.toml` says, finding and loading twins, making, publishing and pulling them."""

from gemel.core.twin._crate import Crate, pack, unpack
from gemel.core.twin._find import find_twin, known_twins, load_twin
from gemel.core.twin._manifest import (
    CheckSpec,
    Manifest,
    OutletSpec,
    ParameterSpec,
    PhysicalTable,
    SourceSpec,
    ViewSpec,
)
from gemel.core.twin._package import Twin, take_along
from gemel.core.twin._repository import Repository
from gemel.core.twin._scaffold import new_instance, new_twin
from gemel.core.twin._scenario import resolve
from gemel.core.twin._stream_tables import BufferTable, DriftTable, TriggerSpec, VolumeTable, WindowTable
from gemel.core.twin._views import draw

__all__ = [
    "BufferTable",
    "CheckSpec",
    "Crate",
    "DriftTable",
    "Manifest",
    "OutletSpec",
    "ParameterSpec",
    "PhysicalTable",
    "Repository",
    "SourceSpec",
    "TriggerSpec",
    "Twin",
    "ViewSpec",
    "VolumeTable",
    "WindowTable",
    "draw",
    "find_twin",
    "known_twins",
    "load_twin",
    "new_instance",
    "new_twin",
    "pack",
    "resolve",
    "take_along",
    "unpack",
]

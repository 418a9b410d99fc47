"""Collections: STAC documents in the lake or on the web, opened as cubes that are read when asked for."""

from gemel.infra.lake._extent import Area, Interval, area, interval
from gemel.infra.lake.collections._combine import one_value
from gemel.infra.lake.collections._describe import bands_of, dimensions_of, lonlat_box, time_span
from gemel.infra.lake.collections._open import Wanted, open_collection, open_file
from gemel.infra.lake.collections._result import EXTENSIONS, kept_item, placed
from gemel.infra.lake.collections._store import Collections

__all__ = [
    "EXTENSIONS",
    "Area",
    "Collections",
    "Interval",
    "Wanted",
    "area",
    "bands_of",
    "dimensions_of",
    "interval",
    "kept_item",
    "lonlat_box",
    "one_value",
    "open_collection",
    "open_file",
    "placed",
    "time_span",
]

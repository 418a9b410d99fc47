"""Items as stac-geoparquet: one row per Item in a Parquet file that tools of geography and of tables read.

Columns follow the STAC GeoParquet Specification 1.0.0 (properties beside the Item's own members, timestamps of common
metadata as such, links and assets as structures) and GeoParquet 1.1.0 (geometry as WKB, covered by the column bbox).
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any

import shapely
import shapely.geometry

from gemel.base.errors import InvalidInput
from gemel.base.plugins import require
from gemel.infra.lake.catalogue._documents import Document

_BATCH = 1000  # items that are held at a time
_OWN = ("type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "links", "assets", "collection")
_INSTANTS = ("datetime", "start_datetime", "end_datetime", "created", "updated", "published", "expires", "unpublished")
_EDGES = {4: ("xmin", "ymin", "xmax", "ymax"), 6: ("xmin", "ymin", "zmin", "xmax", "ymax", "zmax")}
_VERSION = "1.0.0"


def write_geoparquet(items: Iterable[Document], path: Path, collections: Sequence[Document] = ()) -> int:
    """Return how many Items were written to a stac-geoparquet file; when that fails, no file is left.

    Items are taken one by one, put down on disk while their columns become known, and written by batches. A property
    that an Item has as null is absent for readers, and the other way round: a column has one word for both.

    Args:
        items: Documents of STAC Items; a geometry may be null, a box may cross the antimeridian or have heights.
        path: Of the file, replaced when there is one.
        collections: Their Collections, kept in the file's metadata.

    Raises:
        InvalidInput: There is no Item, one is none, or a property is of different types in different Items.
        PluginBroken: The extra `data` is not installed.
    """
    arrow, parquet = require("pyarrow", extra="data"), require("pyarrow.parquet", extra="data")
    with (
        tempfile.TemporaryDirectory(prefix="writing-", dir=path.parent) as folder,
        (Path(folder) / "rows").open("w+b") as rows,
    ):
        known = _Schema(arrow)
        count = 0
        for batch in _batches(_rows(items)):
            known.learn(batch)
            rows.writelines(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in batch)
            count += len(batch)
        if not count:
            raise InvalidInput("There is no Item to export.", hint="Widen the search.")
        schema = known.finished(collections)
        target = Path(folder) / path.name
        with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in _batches(_read_back(rows)):
                writer.write_table(known.table(batch, schema))
        target.replace(path)
    return count


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _read_back(rows: IO[bytes]) -> Iterator[dict[str, Any]]:
    rows.seek(0)
    for line in rows:
        yield json.loads(line)


def _rows(items: Iterable[Document]) -> Iterator[dict[str, Any]]:
    for number, item in enumerate(items):
        if not isinstance(item, Mapping) or item.get("type") != "Feature" or not isinstance(item.get("id"), str):
            raise InvalidInput(f"Number {number} of what is exported is no STAC Item.")
        try:
            yield _row(item)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, shapely.errors.ShapelyError) as error:
            raise InvalidInput(f"Item '{item['id']}' cannot be exported: {error}.", id=item["id"]) from error


def _row(item: Document) -> dict[str, Any]:
    row = {name: value for name, value in item.items() if name not in ("properties", "geometry", "bbox")}
    properties = item.get("properties") or {}
    clash = next((name for name in properties if name in _OWN), None)
    if clash is not None:
        raise ValueError(f"its property '{clash}' has the name of a member of all Items")
    geometry, box = item.get("geometry"), item.get("bbox")
    row["geometry"] = None if geometry is None else shapely.geometry.shape(geometry).wkb_hex
    if box is not None and len(box) not in _EDGES:
        raise ValueError(f"its box has {len(box)} numbers")
    row["bbox"] = None if box is None else dict(zip(_EDGES[len(box)], map(float, box), strict=True))
    return row | properties


class _Schema:
    """What columns a file has, learned batch by batch."""

    def __init__(self, arrow: Any) -> None:
        self._arrow = arrow
        self._types: dict[str, Any] = {}
        self._kinds: set[str] = set()
        self._edges = [math.inf, math.inf, -math.inf, -math.inf]

    def learn(self, batch: Sequence[Mapping[str, Any]]) -> None:
        """Take in the columns of a batch.

        Raises:
            InvalidInput: A column would be of two types.
        """
        for name in dict.fromkeys(name for row in batch for name in row):
            if name == "geometry":
                self._look([row["geometry"] for row in batch if row.get("geometry")])
                continue
            try:
                found = self._type(name, [row.get(name) for row in batch])
                self._types[name] = self._merged(self._types[name], found) if name in self._types else found
            except (self._arrow.ArrowException, ValueError, TypeError) as error:
                hint = "Export these Items apart from each other, or give the property one type."
                message = f"'{name}' is of different types in different Items, and a column holds one: {error}."
                raise InvalidInput(message, hint=hint, property=name) from error

    def finished(self, collections: Sequence[Document]) -> Any:
        """Return the schema with the metadata of GeoParquet and stac-geoparquet."""
        fields = [("geometry", self._arrow.binary())]
        fields += [(name, pruned) for name, found in self._types.items() if (pruned := self._pruned(found)) is not None]
        fields.sort(key=lambda field: _OWN.index(field[0]) if field[0] in _OWN else len(_OWN))
        column: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(self._kinds)}
        if math.isfinite(self._edges[0]):
            column["bbox"] = self._edges
        if "bbox" in self._types and not self._arrow.types.is_null(self._types["bbox"]):
            column["covering"] = {"bbox": {edge: ["bbox", edge] for edge in _EDGES[4]}}
        geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
        stac = {"version": _VERSION, "collections": {str(item["id"]): item for item in collections}}
        return self._arrow.schema(fields, metadata={"geo": json.dumps(geo), "stac-geoparquet": json.dumps(stac)})

    def table(self, batch: Sequence[Mapping[str, Any]], schema: Any) -> Any:
        """Return rows as a table of the schema."""
        columns = []
        for field in schema:
            cells = [row.get(field.name) for row in batch]
            if field.name == "geometry":
                cells = [None if cell is None else bytes.fromhex(cell) for cell in cells]
            elif self._arrow.types.is_timestamp(field.type):
                cells = [_instant(cell) for cell in cells]
            columns.append(self._arrow.array(cells, field.type))
        return self._arrow.Table.from_arrays(columns, schema=schema)

    def _type(self, name: str, cells: list[Any]) -> Any:
        if name in _INSTANTS:
            for cell in cells:
                _instant(cell)
            return self._arrow.timestamp("us", tz="UTC")
        if name == "bbox":
            heights = any(cell is not None and "zmin" in cell for cell in cells)
            return self._arrow.struct([(edge, self._arrow.float64()) for edge in _EDGES[6 if heights else 4]])
        return self._arrow.array(cells).type

    def _merged(self, one: Any, other: Any) -> Any:
        arrow = self._arrow
        schemas = [arrow.schema([("x", item)]) for item in (one, other)]
        return arrow.unify_schemas(schemas, promote_options="permissive").field("x").type

    def _pruned(self, found: Any) -> Any:
        """Return a type without structures that have no members, for which Parquet has no form; None for one alone."""
        arrow = self._arrow
        if arrow.types.is_list(found):
            inner = self._pruned(found.value_type)
            return arrow.list_(arrow.string() if inner is None or arrow.types.is_null(inner) else inner)
        if arrow.types.is_struct(found):
            members = [(found.field(i).name, self._pruned(found.field(i).type)) for i in range(found.num_fields)]
            kept = [(name, inner) for name, inner in members if inner is not None]
            return arrow.struct(kept) if kept else None
        return found

    def _look(self, shapes: Sequence[str]) -> None:
        found = shapely.from_wkb([bytes.fromhex(item) for item in shapes])
        if not len(found):
            return
        self._kinds |= {f"{item.geom_type}{' Z' if item.has_z else ''}" for item in found}
        west, south, east, north = shapely.total_bounds(found)
        edges = self._edges
        if math.isfinite(west):
            self._edges = [min(edges[0], west), min(edges[1], south), max(edges[2], east), max(edges[3], north)]


def _instant(text: Any) -> datetime | None:
    if text is None:
        return None
    found = datetime.fromisoformat(str(text).replace("z", "Z"))
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

"""What a run leaves behind as files: the assets that `save_result` made, and bare values written out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel.base.errors import ResultCorrupt, not_found
from gemel.core.graph import Run
from gemel.core.workspace._runner import Runner
from gemel.infra.lake import ContentStore

Document = dict[str, Any]
_SUFFIXES = {"application/x-netcdf": "nc", "text/csv": "csv", "application/json": "json"}
# Multihash (multiformats table): 0x12 sha2-256, 0x20 its length of 32 bytes.
_SHA256 = "1220"


@dataclass(frozen=True)
class Asset:
    """One file of a result.

    Attributes:
        name: File name.
        digest: SHA-256 of its bytes, under which the content store keeps it.
        document: Its STAC asset object, without an address.
    """

    name: str
    digest: str
    document: Document

    @property
    def media_type(self) -> str:
        """Return the media type."""
        return str(self.document.get("type", "application/octet-stream"))


@dataclass(frozen=True)
class Results:
    """All files of one run.

    Attributes:
        item: STAC Item with geometry, bbox and properties of what is in the files; its assets have no addresses.
        assets: The files by name.
    """

    item: Document
    assets: Mapping[str, Asset]

    def asset(self, name: str) -> Asset:
        """Return a file by name.

        Raises:
            NotFound: The run has no such file.
        """
        if name not in self.assets:
            raise not_found("file of the result", name, self.assets)
        return self.assets[name]


class ResultFiles:
    """Finds and makes the files of runs."""

    def __init__(self, runner: Runner, content: ContentStore) -> None:
        self._runner = runner
        self._content = content

    def of(self, run: Run) -> Results:
        """Return the files of all outputs that the run has by now."""
        items: list[Document] = []
        assets: dict[str, Asset] = {}
        for name in self._runner.outputs(run):
            item = self._item(run, name)
            if item is None:
                made = [self._written(run, name)]
            else:
                items.append(item)
                made = [_asset(key, found) for key, found in item["assets"].items()]
            for asset in made:
                # Two steps may save under the same name; the output's name tells them apart.
                unique = asset.name if asset.name not in assets else f"{name}-{asset.name}"
                assets[unique] = Asset(unique, asset.digest, asset.document)
        return Results(_merged(items), assets)

    def path(self, asset: Asset) -> Path:
        """Return where the file lies.

        Raises:
            ResultCorrupt: It is gone.
        """
        path = self._content.path(asset.digest)
        if not path.is_file():
            message = f"The file '{asset.name}' of the result is no longer kept."
            raise ResultCorrupt(message, hint="Start the job again.", digest=asset.digest)
        return path

    def _item(self, run: Run, name: str) -> Document | None:
        if self._runner.format(run, name) != "json":
            return None
        value = self._runner.output(run, name)
        return value if is_item(value) else None

    def _written(self, run: Run, name: str) -> Asset:
        data, media_type = self._runner.exported(run, name)
        digest = self._content.put(data)
        document = {
            "type": media_type,
            "title": name,
            "roles": ["data"],
            "file:size": len(data),
            "file:checksum": _SHA256 + digest,
        }
        return Asset(f"{name}.{_SUFFIXES.get(media_type, 'bin')}", digest, document)


def is_item(value: Any) -> bool:
    """Return whether a value is a STAC Item whose files the content store keeps.

    >>> is_item({"type": "Feature", "assets": {"a.nc": {"gemel:digest": "00"}}}), is_item({"type": "Feature"})
    (True, False)
    """
    if not isinstance(value, Mapping) or value.get("type") != "Feature" or not isinstance(value.get("assets"), Mapping):
        return False
    assets = value["assets"].values()
    return bool(assets) and all(isinstance(asset, Mapping) and "gemel:digest" in asset for asset in assets)


def _asset(key: str, found: Mapping[str, Any]) -> Asset:
    document = {name: value for name, value in found.items() if name not in ("href", "gemel:digest")}
    return Asset(key, str(found["gemel:digest"]), document)


def _merged(items: list[Document]) -> Document:
    if not items:
        return {"geometry": None, "properties": {"datetime": None}}
    if len(items) == 1:
        item = items[0]
        return {name: item[name] for name in ("geometry", "bbox", "properties") if name in item}
    properties = dict(items[0]["properties"])
    starts = [_instant(item, "start_datetime") for item in items]
    ends = [_instant(item, "end_datetime") for item in items]
    if all(starts) and all(ends):
        properties |= {"datetime": None, "start_datetime": min(map(str, starts)), "end_datetime": max(map(str, ends))}
    box = _around([item["bbox"] for item in items if len(item.get("bbox") or ()) == 4])
    if box is None:
        return {"geometry": None, "properties": properties}
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"geometry": {"type": "Polygon", "coordinates": [ring]}, "bbox": box, "properties": properties}


def _instant(item: Document, name: str) -> str | None:
    properties = item["properties"]
    found = properties.get(name) or properties.get("datetime")
    return None if found is None else str(found)


def _around(boxes: Iterable[list[float]]) -> list[float] | None:
    sides = list(zip(*boxes, strict=True))
    return [min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3])] if sides else None

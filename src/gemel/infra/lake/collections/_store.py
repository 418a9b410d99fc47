"""Collections kept in the lake: static STAC documents below `collections/ID`, each put there whole or not at all."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import xarray as xr

from gemel.base.errors import Conflict, InvalidInput, NotFound, did_you_mean
from gemel.base.ids import canonical_json, digest_bytes, digest_json
from gemel.infra.lake._places import Place, resolved
from gemel.infra.lake.collections._assets import data_assets
from gemel.infra.lake.collections._describe import described
from gemel.infra.lake.collections._open import Wanted, open_collection
from gemel.infra.lake.formats import format_named, format_of_file
from gemel.infra.lake.formats._values import as_cube
from gemel.infra.lake.formats._zarr import write_store

_ID = re.compile(r"[\w\-.~/]+")  # what the openEO specification allows of a collection's id
_DOCUMENT = "collection.json"
_ITEMS = "items"
_EMPTY = "The lake holds none yet: gemel.infra.lake.collections.Collections(home).add_dataset(id, file) puts one in."


class Collections:
    """The collections of one lake.

    >>> import tempfile
    >>> Collections(Path(tempfile.mkdtemp())).list()
    []
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "collections"

    def list(self) -> list[dict[str, Any]]:
        """Return every STAC Collection, by id."""
        documents = sorted(self.folder.glob(f"*/{_DOCUMENT}")) if self.folder.is_dir() else []
        shown = [path for path in documents if not path.parent.name.startswith(".")]
        return [json.loads(path.read_text(encoding="utf-8")) for path in shown]

    def get(self, id: str) -> dict[str, Any]:
        """Return the STAC Collection called `id`.

        Raises:
            NotFound: There is none.
        """
        return dict(json.loads(self._document(id).read_text(encoding="utf-8")))

    def items(self, id: str) -> Iterator[dict[str, Any]]:
        """Yield the STAC Items of a collection, by id.

        Raises:
            NotFound: There is no such collection.
        """
        folder = self._document(id).parent / _ITEMS
        for path in sorted(folder.glob("*.json")):
            yield json.loads(path.read_text(encoding="utf-8"))

    def add(self, collection: Mapping[str, Any], items: Iterable[Mapping[str, Any]] = ()) -> None:
        """Put a STAC Collection with its Items into the lake.

        Raises:
            InvalidInput: A document is no Collection or Item, or has an id that cannot be used.
            Conflict: There is a collection of that id.
        """
        self._add(collection, items, None)

    def add_dataset(
        self,
        id: str,
        data: Path | str | xr.DataArray | xr.Dataset,
        *,
        variables: Sequence[str] | None = None,
        **metadata: Any,
    ) -> dict[str, Any]:
        """Return the STAC Collection made of one file or array, after it was put into the lake.

        A file (NetCDF, Zarr, GeoTIFF, GRIB) outside of the lake stays where it is and is linked; an array is written as Zarr.

        Args:
            id: Of the collection.
            data: The file, or the cube.
            variables: Those of a NetCDF or Zarr file, or of a dataset, that make the cube; default all.
            **metadata: Members of the Collection: `title`, `description`, `license`, `keywords`, `providers`, ...

        Raises:
            InvalidInput: The data is no cube, or the id cannot be used.
            NotFound: There is no such file.
            Conflict: There is a collection of that id.
        """
        if isinstance(data, (xr.DataArray, xr.Dataset)):
            return self._add_array(id, _chosen(data, variables), metadata)
        path = Path(data).expanduser().absolute()
        if not path.exists():
            raise NotFound(f"There is no file '{data}'.", path=str(data))
        format = format_named("Zarr") if path.is_dir() else format_of_file(path)
        if format is None:
            raise InvalidInput(f"The format of '{path.name}' is not known.", hint="NetCDF, Zarr, GeoTIFF or GRIB.")
        cube = format.read(path, {} if variables is None else {"variables": list(variables)})
        if not isinstance(cube, xr.DataArray):
            raise InvalidInput(f"'{path.name}' holds a table, which is no data cube.")
        document = described(id, cube, f"data/{path.name}", format, metadata)
        self._add(document, (), lambda folder: _linked(folder, path))
        return document

    def remove(self, id: str) -> None:
        """Remove a collection with its items; files that were linked stay where they are.

        Raises:
            NotFound: There is none.
        """
        folder = self._document(id).parent
        doomed = Path(tempfile.mkdtemp(prefix=".removed-", dir=self.folder))
        folder.rename(doomed / folder.name)
        shutil.rmtree(doomed, ignore_errors=True)

    def digest(self, id: str) -> str:
        """Return a digest that changes with the collection's documents, and with size or time of its local files.

        Raises:
            NotFound: There is none.
        """
        collection = self.get(id)
        documents = [collection, *self.items(id)]
        state: Any = []
        for position, document in enumerate(documents):
            state.append(digest_bytes(canonical_json(document)))
            for asset in data_assets(document, collection if position else None):
                place = self.locate(id, asset.href, item=bool(position))
                state.append([asset.key, [] if place.remote else _state(Path(place.address))])
        return digest_json(state)

    def locate(self, id: str, href: str, *, item: bool) -> Place:
        """Return where a reference in a collection's document, or in one of its items, leads.

        Raises:
            Denied: It leads out of the lake.
        """
        folder = self._document(id).parent
        base = folder / _ITEMS / "item.json" if item else folder / _DOCUMENT
        return resolved(href, base, [folder, self.home])

    def open(
        self, id: str, wanted: Wanted | None = None, *, items: Iterable[Mapping[str, Any]] | None = None
    ) -> xr.DataArray:
        """Return a collection as a cube that is read when asked for.

        Args:
            id: Of the collection.
            wanted: Which part of it; default the whole.
            items: Those of its items to use; default all.

        Raises:
            NotFound: There is no such collection.
            InvalidInput: See `open_collection`.
        """
        collection = self.get(id)
        return open_collection(
            collection,
            self.items(id) if items is None else items,
            locate=lambda href, holder: self.locate(id, href, item=holder.get("type") == "Feature"),
            wanted=wanted,
        )

    def _document(self, id: str) -> Path:
        path = self.folder / _folder_name(id) / _DOCUMENT
        if not path.is_file():
            known = [unquote(item.parent.name) for item in self.folder.glob(f"*/{_DOCUMENT}")]
            hint = did_you_mean(id, known) or (f"There are: {', '.join(sorted(known)[:10])}." if known else _EMPTY)
            raise NotFound(f"There is no collection '{id}'.", hint=hint, kind="collection", name=id)
        return path

    def _add_array(self, id: str, data: xr.DataArray | xr.Dataset, metadata: Mapping[str, Any]) -> dict[str, Any]:
        name = "cube.zarr"
        cube = data if isinstance(data, xr.DataArray) else as_cube(data, "A collection")
        document = described(id, cube, f"data/{name}", format_named("Zarr"), metadata)
        options = {"compression": "zstd", "level": 3, "bands_as_variables": True, "chunks": None}
        self._add(document, (), lambda folder: write_store(data, folder / name, options))
        return document

    def _add(self, collection: Mapping[str, Any], items: Iterable[Mapping[str, Any]], put: Any) -> None:
        _check(collection, "Collection")
        target = self.folder / _folder_name(collection["id"])
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".adding-", dir=self.folder))
        try:
            (staging / _ITEMS).mkdir()
            (staging / _DOCUMENT).write_text(json.dumps(collection), encoding="utf-8")
            for item in items:
                _check(item, "Feature")
                name = f"{quote(str(item['id']), safe='')}.json"
                (staging / _ITEMS / name).write_text(json.dumps(item), encoding="utf-8")
            if put is not None:
                (staging / "data").mkdir()
                put(staging / "data")
            staging.chmod(0o755)
            _renamed(staging, target, str(collection["id"]))
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _chosen(data: xr.DataArray | xr.Dataset, variables: Sequence[str] | None) -> xr.DataArray | xr.Dataset:
    if variables is None or isinstance(data, xr.DataArray):
        return data
    missing = [name for name in variables if name not in data.data_vars]
    if missing:
        hint = did_you_mean(missing[0], map(str, data.data_vars)) or None
        raise InvalidInput(f"There is no variable '{missing[0]}' in the dataset.", hint=hint)
    return data[list(variables)]


def _renamed(staging: Path, target: Path, id: str) -> None:
    try:
        staging.rename(target)
    except OSError as error:
        if not target.exists():
            raise
        raise Conflict(f"There is a collection '{id}' already.", hint="Remove it first.", name=id) from error


def _linked(folder: Path, path: Path) -> None:
    (folder / path.name).symlink_to(path)


def _check(document: Mapping[str, Any], kind: str) -> None:
    if document.get("type") != kind or not str(document.get("id") or ""):
        named = "Collection" if kind == "Collection" else "Item"
        raise InvalidInput(f"This is no STAC {named}: type {document.get('type')!r}, id {document.get('id')!r}.")


def _folder_name(id: Any) -> str:
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise InvalidInput(f"'{id}' is not an id of a collection.", hint="Letters, digits and - _ . ~ / are allowed.")
    name = quote(id, safe="")
    # A leading dot marks what is being put in or taken out.
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _state(path: Path) -> list[Any]:
    """Return what tells whether a file, or any file in a folder, has changed."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = [(str(item.relative_to(path)), item.stat()) for item in files if item.is_file()]
    return [[name, status.st_size, status.st_mtime_ns] for name, status in found]

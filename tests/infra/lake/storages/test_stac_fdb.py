"""Files that STAC documents speak of, over a real HTTP server, and fields in a real FDB."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from gemel.base.errors import ConfigInvalid, Denied, InvalidInput, NotFound, ResultCorrupt, StoreUnavailable
from gemel.infra.lake.storages import FdbStorage, StacStorage, Storage
from gemel.testing import StorageContract


def item(id: str, assets: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return a synthetic Item with the members that STAC 1.1 asks for."""
    document = {"type": "Feature", "stac_version": "1.1.0", "id": id, "geometry": None, "links": []}
    return document | {"properties": {"datetime": "2020-01-01T00:00:00Z"}, "assets": assets} | members


def served(site: Any, path: str, document: Any) -> str:
    """Return the address of a document after it was put onto the site."""
    target = site.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document))
    return f"{site.address}/{path}"


class TestStac(StorageContract):
    """One Item whose assets have their file names for keys."""

    @pytest.fixture(autouse=True)
    def _place(self, site: Any) -> None:
        self.site = site
        self.assets: dict[str, Any] = {}

    def opened(self) -> Storage:
        self.assets = {"folder/file.nc": {"href": "folder/file.nc"}}
        return StacStorage("outside", {"url": served(self.site, "item.json", item("one", self.assets))})

    def put(self, storage: Storage, path: str, content: bytes) -> None:
        number = len(self.assets)
        (self.site.folder / f"file{number}").write_bytes(content)
        told = {"file:size": len(content)} if number % 2 else {}
        self.assets[path] = {"href": f"file{number}", "title": path} | told
        served(self.site, "item.json", item("one", self.assets))


def test_digests_and_sizes_are_the_catalogue_s_in_multihash(site: Any) -> None:
    content = b"Wikipedia"
    (site.folder / "rain.nc").write_bytes(content)
    sha, md5 = hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
    assets = {
        "sha": {"href": "rain.nc", "file:size": 9, "file:checksum": f"1220{sha.upper()}"},
        "md5": {"href": "rain.nc", "file:checksum": f"d50110{md5}"},
        "odd": {"href": "rain.nc", "file:checksum": "1220abc", "file:size": "nine"},
    }
    storage = StacStorage("outside", {"url": served(site, "item.json", item("one", assets))})
    site.requests.clear()
    assert (storage.digest("one/sha", "sha256"), storage.size("one/sha")) == (sha, 9)
    assert [method for method, path, _ in site.requests if path == "/rain.nc"] == []
    assert storage.digest("one/md5", "md5") == md5 and storage.digest("one/md5", "sha256") is None
    assert storage.digest("one/odd", "sha256") is None and storage.size("one/odd") == 9


def test_a_catalogue_that_lies_about_a_size_is_told(site: Any) -> None:
    (site.folder / "rain.nc").write_bytes(b"Wikipedia")
    where = served(site, "item.json", item("one", {"data": {"href": "rain.nc", "file:size": 8}}))
    with pytest.raises(ResultCorrupt, match="has 9 bytes, and its catalogue says 8"):
        StacStorage("outside", {"url": where}).open("one/data")


def test_an_item_collection_is_listed_by_item_and_key(site: Any) -> None:
    for name in ("a.tif", "b.tif"):
        (site.folder / name).write_bytes(name.encode())
    items = [
        item("first", {"red": {"href": "a.tif"}, "cold": {"href": "s3://bucket/key"}}),
        item("second", {"red": {"href": f"{site.address}/b.tif?signature=secret"}, "gone": {"href": "nothing.tif"}}),
    ]
    where = served(site, "search.json", {"type": "FeatureCollection", "features": items})
    storage = StacStorage("outside", {"url": where})
    assert {entry.path: entry.size for entry in storage.list()} == {"first/red": 5, "second/red": 5}
    assert [entry.path for entry in storage.list("second/")] == ["second/red"]
    assert storage.open("second/b.tif").read() == b"b.tif"
    assert storage.url("second/red") == f"{site.address}/b.tif"
    assert str(storage.signed("second/red", 60)).endswith("?signature=secret")
    with pytest.raises(InvalidInput, match="not followed"):
        storage.open("first/cold")
    with pytest.raises(NotFound):
        storage.open("red")


def test_an_item_of_an_api_is_asked_for_by_its_name_alone(site: Any) -> None:
    (site.folder / "a.tif").write_bytes(b"a.tif")
    links = [{"rel": "items", "href": "/collections/c/items"}]
    site.routes["/collections/c"] = lambda query, body: (200, {"type": "Collection", "id": "c", "links": links})
    document = item("scene 1", {"red": {"href": "/a.tif"}})
    site.routes["/collections/c/items/scene%201"] = lambda query, body: (200, document)
    page = {"type": "FeatureCollection", "features": [document], "links": []}
    site.routes["/collections/c/items"] = lambda query, body: (200, page)
    storage = StacStorage("outside", {"url": f"{site.address}/collections/c"})
    assert storage.open("scene 1/red").read() == b"a.tif"
    assert not storage.exists("scene 2/red")
    assert "/collections/c/items" not in [path for _, path, _ in site.requests]
    assert [entry.path for entry in storage.list()] == ["scene 1/red"]


class _SignedForGet(http.server.BaseHTTPRequestHandler):
    """Ten digits at an address that allows GET alone, as one of an object store does that was signed for it."""

    def do_HEAD(self) -> None:
        self.send_error(403)

    def do_GET(self) -> None:
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        part = b"0123456789"[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/10")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def signed() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _SignedForGet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/digits?signature=secret"
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_address_that_is_signed_for_reading_alone_is_read(site: Any, signed: str) -> None:
    storage = StacStorage("outside", {"url": served(site, "item.json", item("one", {"data": {"href": signed}}))})
    assert storage.size("one/data") == 10
    assert storage.open("one/data", 2, 3).read() == b"234"


@pytest.mark.parametrize("href", ["http://169.254.169.254/latest/meta-data", "http://[fe80::1]/x"])
def test_an_asset_cannot_lead_to_where_secrets_are(href: str, site: Any) -> None:
    storage = StacStorage("outside", {"url": served(site, "item.json", item("one", {"data": {"href": href}}))})
    with pytest.raises(Denied):
        storage.open("one/data")
    local = served(site, "local.json", item("one", {"data": {"href": "file:///etc/passwd"}}))
    with pytest.raises(Denied, match="local file"):
        StacStorage("outside", {"url": local}).open("one/data")


def test_a_token_stays_with_its_own_host(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "abc")
    where = served(site, "item.json", item("one", {"own": {"href": "a"}, "other": {"href": "http://127.0.0.1:9/a"}}))
    storage = StacStorage("outside", {"url": where, "token": "env:SECRET"})
    seen = [storage.authorisation("read", f"one/{key}") for key in ("own", "other")]
    assert seen == [{"Authorization": "Bearer abc"}, {}]


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ([], InvalidInput),
        ({"type": "Map"}, InvalidInput),
        ({"type": "Feature", "id": "x", "assets": {"a": 3}}, InvalidInput),
        ({"type": "Feature", "id": "x", "properties": None}, NotFound),
    ],
)
def test_what_is_no_stac_is_one_clear_error(document: Any, error: type[Exception], site: Any) -> None:
    storage = StacStorage("outside", {"url": served(site, "odd.json", document)})
    with pytest.raises(error):
        storage.open("x/a")


def test_a_dead_catalogue_and_wrong_options_are_told(site: Any) -> None:
    with pytest.raises(StoreUnavailable):
        StacStorage("outside", {"url": "http://127.0.0.1:9/item.json"}).size("one/data")
    with pytest.raises(ConfigInvalid):
        StacStorage("outside", {"url": f"{site.address}/i.json", "pasword": "x"})


SCHEMA = """
[ class, expver, stream, date, time, domain?
  [ type, levtype
    [ step, param, levelist? ]]]
"""
FIELD = "class=od,date=20200101,expver=0001,stream=oper,time=0000/levtype=sfc,type=fc/param=167,step=0"


def message(content: bytes) -> bytes:
    """Return the envelope of a GRIB 2 message around bytes that are no real field: FDB looks at keys alone."""
    size = (16 + len(content) + 4).to_bytes(8, "big")
    return b"GRIB\0\0\0\2" + size + content + b"7777"


@pytest.fixture
def fdb(tmp_path: Path) -> FdbStorage:
    # Importing it here would bring its libraries beside those of GDAL.
    if find_spec("pyfdb") is None:
        pytest.skip("the extra [fdb] is not installed")
    (tmp_path / "schema").write_text(SCHEMA)
    return FdbStorage("fields", {"root": str(tmp_path / "fdb"), "schema": str(tmp_path / "schema")})


def test_a_field_is_archived_and_found_by_its_keys(fdb: FdbStorage) -> None:
    content = message(bytes(range(256)) * 1000)
    assert fdb.write(FIELD, io.BytesIO(content)) == len(content)
    assert (fdb.exists(FIELD), fdb.size(FIELD)) == (True, len(content))
    assert fdb.open(FIELD).read() == content
    assert fdb.open(FIELD, 1000, 50).read() == content[1000:1050]
    turned = "step=0,param=167/type=fc,levtype=sfc/time=0000,stream=oper,expver=0001,date=20200101,class=od"
    assert fdb.open(turned, -4 + len(content)).read() == b"7777"
    assert fdb.url(FIELD) == f"fdb://fields/{FIELD}"
    assert isinstance(fdb, Storage) and fdb.digest(FIELD, "sha256") is None


def test_fields_are_listed_below_their_first_keys(fdb: FdbStorage) -> None:
    for step in (0, 6):
        for param in ("167", "228"):
            path = FIELD.replace("param=167,step=0", f"param={param},step={step}")
            fdb.write(path, io.BytesIO(message(param.encode() * (step + 1))))
    day, kind, _ = FIELD.split("/")
    assert len(list(fdb.list())) == len(list(fdb.list(day))) == len(list(fdb.list(f"{day}/{kind}"))) == 4
    assert {entry.path for entry in fdb.list(day)} >= {FIELD}
    assert all(fdb.open(entry.path).read().startswith(b"GRIB") for entry in fdb.list())
    assert list(fdb.list("class=od")) == list(fdb.list("nowhere")) == []
    assert list(fdb.list(day.replace("2020", "2021"))) == []


def test_a_field_archived_again_is_the_newer_one(fdb: FdbStorage) -> None:
    fdb.write(FIELD, io.BytesIO(message(b"old")))
    before = fdb.stat(FIELD)
    fdb.write(FIELD, io.BytesIO(message(b"newer")))
    assert fdb.open(FIELD).read() == message(b"newer")
    assert fdb.stat(FIELD).version != before.version
    assert len(list(fdb.list())) == 1
    with pytest.raises(Denied, match="deletes no single fields"):
        fdb.delete(FIELD)


def test_fields_that_are_not_there_and_paths_that_are_none(fdb: FdbStorage) -> None:
    fdb.write(FIELD, io.BytesIO(message(b"x")))
    for path in (FIELD.replace("step=0", "step=6"), FIELD.rpartition("/")[0], "nothing", "class=od,class=rd"):
        with pytest.raises(NotFound):
            fdb.open(path)
    for path in ("../x", "a//b", ""):
        with pytest.raises(InvalidInput):
            fdb.open(path)
    with pytest.raises(InvalidInput, match="no place for"):
        fdb.write(FIELD + ",colour=red", io.BytesIO(message(b"x")))
    with pytest.raises(InvalidInput, match="no place for"):
        fdb.write("class=od", io.BytesIO(message(b"x")))
    for content in (b"", b"rain", message(b"x")[:-1], message(b"x") * 2):
        with pytest.raises(InvalidInput, match="no GRIB message"):
            fdb.write(FIELD, io.BytesIO(content))
    assert fdb.open(FIELD).read() == message(b"x")


def test_an_fdb_needs_its_schema(tmp_path: Path) -> None:
    for options in (
        {},
        {"root": "x"},
        {"root": "x", "schema": str(tmp_path / "none")},
        {"config": str(tmp_path / "c")},
    ):
        with pytest.raises(ConfigInvalid):
            FdbStorage("fields", options)


def test_items_of_one_name_in_two_collections_are_not_mixed_up(site: Any) -> None:
    for name in ("a.tif", "b.tif"):
        (site.folder / name).write_bytes(name.encode())
    items = [item("scene", {"red": {"href": name}}, collection=name) for name in ("a.tif", "b.tif")]
    storage = StacStorage(
        "outside", {"url": served(site, "all.json", {"type": "FeatureCollection", "features": items})}
    )
    with pytest.raises(InvalidInput, match="several Items"):
        storage.open("scene/red")
    assert list(storage.list()) == []

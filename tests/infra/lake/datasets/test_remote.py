"""Datasets over real servers: read by ranges, moved between them, and whole when a server fails in the middle."""

from __future__ import annotations

import http.server
import logging
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from lake_servers import serving_dav

from gemel.base.errors import ConfigInvalid, Denied, GemelError, ResultCorrupt, StoreUnavailable
from gemel.infra.lake.formats import format_named
from gemel.infra.lake.storages import HttpStorage, S3Storage


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Return a synthetic NetCDF file of 4 MB in chunks of 80 kB."""
    values = np.random.default_rng(3).random((50, 100, 100))
    cube = xr.DataArray(values, dims=("t", "y", "x"), coords={"t": np.arange(50.0)}, name="rain", attrs={"units": "mm"})
    (path,) = format_named("netCDF").write(cube, tmp_path / "large.nc", {"chunks": {"t": 1, "y": 100, "x": 100}})
    return path


def test_a_cube_is_opened_by_ranges_and_is_the_same_everywhere(lake, large, site, s3, dav):
    (site.folder / "large.nc").write_bytes(large.read_bytes())
    lake.storages.add("web", "http", {"url": site.address})
    lake.storages.add("bucket", "s3", s3.options)
    lake.storages.add("dav", "webdav", dav.options)
    lake.datasets.register("a:web", "web", "large.nc")
    for name, storage in (("a:home", "home"), ("a:bucket", "bucket"), ("a:dav", "dav")):
        lake.datasets.put(large, name, storage=storage)
    expected = lake.datasets.open("a:home").load()
    for name in ("a:web", "a:bucket", "a:dav"):
        cube = lake.datasets.open(name)
        xr.testing.assert_identical(cube.isel(t=7).load(), expected.isel(t=7))
    fetched = sum(_length(wanted) for method, _, wanted in site.requests if method == "GET" and wanted)
    assert 0 < fetched < large.stat().st_size / 3
    assert all(wanted for method, _, wanted in site.requests if method == "GET")
    assert not (lake.home / "cache").exists()


def _length(wanted: str) -> int:
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    return int(last) - int(first) + 1


def test_rasters_and_tables_are_opened_from_a_bucket(lake, tmp_path, cube, s3):
    lake.storages.add("bucket", "s3", s3.options)
    (raster,) = format_named("GTiff").write(cube.isel(t=0, drop=True), tmp_path / "light.tif", {})
    lake.datasets.put(raster, "a:light.tif", storage="bucket")
    opened = lake.datasets.open("a:light.tif")
    np.testing.assert_array_equal(opened.values, cube.isel(t=0).values)
    table = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    table.to_parquet(tmp_path / "t.parquet")
    table.to_csv(tmp_path / "t.csv", index=False)
    for suffix in ("parquet", "csv"):
        lake.datasets.put(tmp_path / f"t.{suffix}", f"a:t.{suffix}", storage="bucket")
        pd.testing.assert_frame_equal(lake.datasets.open(f"a:t.{suffix}"), table, check_dtype=False)


def test_a_file_goes_round_all_storages_and_comes_back_the_same(lake, rain, s3, dav, xrootd):
    lake.storages.add("bucket", "s3", s3.options)
    lake.storages.add("dav", "webdav", dav.options)
    lake.storages.add("grid", "webdav", xrootd.options)
    record = lake.datasets.put(rain, "round:trip µ.bin")
    for storage in ("bucket", "dav", "grid", "archive"):
        (moved,) = lake.datasets.move("round:trip µ.bin", storage)
        assert [replica.storage for replica in moved.replicas] == [storage]
        assert {name: item.value for name, item in moved.digests.items()} == {
            name: item.value for name, item in record.digests.items()
        }
        # What was read at the other end agreed.
        assert moved.digests["sha256"].confirmed or moved.digests["adler32"].confirmed
    assert lake.path("round:trip µ.bin", "archive").read_bytes() == rain.read_bytes()
    for name in ("bucket", "dav", "grid"):
        assert [entry.path for entry in lake.storages.get(name).list("round")] == []


def test_xrootd_tells_the_digest_of_what_it_holds(lake, rain, xrootd):
    lake.storages.add("grid", "webdav", xrootd.options)
    lake.storages.get("grid").write("foreign.bin", rain.open("rb"), rain.stat().st_size)
    record = lake.datasets.register("a:foreign", "grid", "foreign.bin")
    assert record.state == "unverified"
    assert record.digests["adler32"].origin == "source"
    assert [item.outcome for item in lake.datasets.verify(["a:foreign"])] == ["good"]
    record = lake.datasets.get("a:foreign")
    assert record.state == "verified" and record.digests["sha256"].origin == "stream"


def test_tokens_that_are_wrong_narrow_expired_or_missing_are_one_error_each(
    lake, rain, xrootd, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.DEBUG)
    token = tmp_path / "token"
    lake.storages.add("grid", "webdav", {"url": xrootd.url, "token": f"file:{token}"})
    lake.storages.add("other", "webdav", {"url": xrootd.url, "token": "env:NO_SUCH_TOKEN"})
    shown = [xrootd.mint(path="/elsewhere"), xrootd.mint(rights="DOWNLOAD"), xrootd.mint(seconds=-60), "nonsense"]
    for text in shown:
        token.write_text(text)
        with pytest.raises(Denied) as denied:
            lake.datasets.put(rain, "a:b", storage="grid")
        assert text not in str(denied.value.document())
    with pytest.raises(ConfigInvalid, match="NO_SUCH_TOKEN"):
        lake.datasets.put(rain, "a:b", storage="other")
    assert lake.datasets.find() == []
    token.write_text(xrootd.mint())  # a renewed token is used at once
    lake.datasets.put(rain, "a:b", storage="grid")
    assert token.read_text() not in caplog.text and not any(text in caplog.text for text in shown[:3])
    with pytest.raises(ConfigInvalid, match="where the secret is"):
        lake.storages.add("plain", "webdav", {"url": xrootd.url, "token": token.read_text()})


def test_a_wrong_key_of_a_bucket_is_denied(s3, tmp_path):
    (tmp_path / "wrong").write_text("0" * 32)
    storage = S3Storage("bucket", s3.options | {"secret": f"file:{tmp_path / 'wrong'}"})
    with pytest.raises(Denied):
        storage.stat("x")


class _Liar(http.server.BaseHTTPRequestHandler):
    """Says that a file has 1000 bytes; ends after 400, or sends others than before."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(206)
        self.send_header("Content-Length", "400" if "lie" in self.path else "1000")
        self.end_headers()
        self.wfile.write(b"x" * 400)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Liar)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["cut", "lie"])
def test_a_body_that_ends_early_leaves_nothing(lake, liar, name, tmp_path):
    lake.storages.add("liar", "http", {"url": liar})
    lake.datasets.register("a:b", "liar", name)
    for attempt in (
        lambda: lake.datasets.copy("a:b", "home"),
        lambda: lake.datasets.fetch("a:b", tmp_path / "out"),
    ):
        with pytest.raises(StoreUnavailable):
            attempt()
    assert lake.on_disk() == [] and not (tmp_path / "out").exists()
    assert [item.outcome for item in lake.datasets.verify()] == ["unreachable"]


def test_a_site_that_serves_other_bytes_than_before_is_found_out(lake, site, tmp_path):
    (site.folder / "f").write_bytes(b"as it was" * 1000)
    lake.storages.add("web", "http", {"url": site.address})
    lake.datasets.register("a:b", "web", "f")
    assert lake.datasets.verify()[0].passed
    (site.folder / "f").write_bytes(b"as it is!" * 1000)
    with pytest.raises(ResultCorrupt, match="digest"):
        lake.datasets.fetch("a:b", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_server_that_dies_is_one_error_and_the_other_replica_serves(lake, rain, rclone, tmp_path):
    with serving_dav(rclone, tmp_path / "first") as server:
        lake.storages.add("dav", "webdav", server.options)
        lake.datasets.put(rain, "a:b", storage="dav")
        lake.datasets.copy("a:b", "home")
    with pytest.raises(StoreUnavailable, match="dav"):
        lake.datasets.put(rain, "a:c", storage="dav")
    assert [item.outcome for item in lake.datasets.verify()] == ["good", "unreachable"]
    assert [str(item.name) for item in lake.datasets.find()] == ["a:b"]
    lake.datasets.fetch("a:b", tmp_path / "out")


def test_addresses_with_passwords_or_to_metadata_services_are_refused():
    for url, kind in [
        ("http://a:b@127.0.0.1/x", ConfigInvalid),
        ("http://169.254.169.254/", Denied),
        ("ftp://x/", GemelError),
    ]:
        with pytest.raises(kind):
            HttpStorage("x", {"url": url})

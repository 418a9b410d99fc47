"""Copies from server to server: two authorities, digests that agree, and failures that answer 201."""

from __future__ import annotations

import logging

import pytest

from gemel.base.errors import Denied, NotFound, ResultCorrupt, StoreUnavailable
from gemel.infra.lake.transport import Carrier, Leg

pytestmark = pytest.mark.slow


def way(lake, name: str, storage: str):
    found = lake.datasets.replicate(name, storage)
    return found.way, found.reason


def test_a_file_goes_from_server_to_server_with_a_token_for_each(grid, rain, caplog):
    caplog.set_level(logging.DEBUG)
    record = grid.lake.datasets.put(rain, "a:b", storage="east")
    seen: list[int] = []
    done = grid.lake.datasets.replicate("a:b", "west", seen.append)
    assert (done.way, done.source) == ("pull", "east")
    assert done.reason == "'west' fetches it from 'east' by itself"
    assert done.record.digests["adler32"].confirmed and done.record.digests["sha256"] == record.digests["sha256"]
    copies = [path for path in grid.pair.b.folder.rglob("*") if path.is_file()]
    assert [path.read_bytes() == rain.read_bytes() for path in copies] == [True]
    for secret in (grid.pair.a.key, grid.pair.b.key):
        assert secret.hex() not in caplog.text
    assert "MDAx" not in caplog.text  # how every macaroon begins


def test_the_source_sends_where_the_destination_does_not_fetch(grid, rain):
    grid.add("closed", "b", copies="push")
    grid.lake.datasets.put(rain, "a:b", storage="east")
    assert way(grid.lake, "a:b", "closed") == ("push", "'east' sends it to 'closed' by itself")
    assert {item.outcome for item in grid.lake.datasets.verify(["a:b"])} == {"good"}


def test_what_no_server_copies_passes_through_with_the_reason_told(grid, rain, dav):
    grid.lake.storages.add("dav", "webdav", dav.options)
    grid.add("still", "a", copies="no")
    grid.lake.datasets.put(rain, "a:b", storage="still")
    chosen, reason = way(grid.lake, "a:b", "dav")
    assert chosen == "stream" and "'dav' knows no third-party copy (status 400)" in reason
    assert {item.outcome for item in grid.lake.datasets.verify(["a:b"])} == {"good"}


def test_a_server_fetches_from_a_bucket_by_a_signed_address(grid, rain, s3):
    grid.lake.storages.add("bucket", "s3", s3.options)
    grid.lake.datasets.put(rain, "a:b", storage="bucket")
    assert way(grid.lake, "a:b", "west")[0] == "pull"
    assert {item.outcome for item in grid.lake.datasets.verify(["a:b"])} == {"good"}


def test_a_failure_that_answers_201_is_a_failure_and_leaves_nothing(grid, rain, tmp_path):
    narrow = tmp_path / "narrow"
    narrow.write_text(grid.pair.a.mint(path="/private/elsewhere"))
    grid.lake.datasets.put(rain, "a:b", storage="east")
    before = grid.left()
    source = grid.lake.storages.get("east")
    target = grid.lake.storages.get("west")
    there = grid.lake.datasets.get("a:b").replicas[0].path
    # The source's size is asked with the right token; the copy itself is handed one that is too narrow.
    right = source.authorisation
    source.authorisation = lambda operation, path: {"Authorization": f"Bearer {narrow.read_text()}"}
    with pytest.raises(Denied, match="403"):
        Carrier().carry(Leg("'a:b'", source, there, target, "x/new.bin", rain.stat().st_size))
    source.authorisation = right
    assert grid.left() == before


def test_what_is_not_there_and_what_is_another_than_said_are_told_apart(grid, rain):
    grid.lake.datasets.put(rain, "a:b", storage="east")
    (replica,) = grid.lake.datasets.get("a:b").replicas
    file = grid.pair.a.folder / replica.path
    content = file.read_bytes()
    before = grid.left()
    file.write_bytes(b"x" + content[1:])
    with pytest.raises(ResultCorrupt, match="digest"):
        grid.lake.datasets.copy("a:b", "west")
    file.write_bytes(content[:-1])
    with pytest.raises(ResultCorrupt, match="bytes"):
        grid.lake.datasets.copy("a:b", "west")
    assert grid.left() == before
    file.unlink()
    with pytest.raises(NotFound):
        grid.lake.datasets.copy("a:b", "west")
    assert grid.left() == []


def test_a_file_of_unknown_digest_ends_verified_and_a_second_copy_confirms(grid, site, rain):
    (site.folder / "asset.bin").write_bytes(rain.read_bytes())
    grid.lake.storages.add("web", "http", {"url": site.address})
    record = grid.lake.datasets.register("a:asset", "web", "asset.bin")
    assert record.state == "unverified" and record.digests == {}
    assert way(grid.lake, "a:asset", "west")[0] == "pull"
    record = grid.lake.datasets.get("a:asset")
    # Nobody else has seen the bytes yet: the digest cannot tell what went wrong before the destination.
    assert record.state == "verified"
    assert {name: (item.origin, item.confirmed) for name, item in record.digests.items()} == {
        "adler32": ("destination", None)
    }
    grid.lake.datasets.copy("a:asset", "archive")
    record = grid.lake.datasets.get("a:asset")
    assert record.digests["adler32"].confirmed and record.digests["sha256"].origin == "stream"


def test_a_source_that_lies_or_breaks_off_is_found_out(grid, site, rain):
    content = rain.read_bytes()
    site.routes["/short.bin"] = lambda query, body: (200, content)
    grid.lake.storages.add("web", "http", {"url": site.address})
    record = grid.lake.datasets.register("a:short", "web", "short.bin")
    assert record.size == len(content)
    site.routes["/short.bin"] = lambda query, body: (200, content[:-7])
    with pytest.raises(ResultCorrupt, match="bytes"):
        grid.lake.datasets.copy("a:short", "west")
    with pytest.raises((ResultCorrupt, StoreUnavailable)):
        grid.lake.datasets.copy("a:short", "archive")
    assert grid.left() == [] and grid.lake.on_disk() == []


def test_an_asset_of_a_catalogue_without_a_checksum_ends_verified(grid, site, rain):
    (site.folder / "scene.tif").write_bytes(rain.read_bytes())
    asset = {"href": f"{site.address}/scene.tif?signature=abc"}
    site.routes["/item.json"] = lambda query, body: (
        200,
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": "one",
            "properties": {},
            "links": [],
            "assets": {"red": asset},
        },
    )
    grid.lake.storages.add("outside", "stac", {"url": f"{site.address}/item.json"})
    record = grid.lake.datasets.register("sat:scene", "outside", "one/red")
    assert (record.state, record.size) == ("unverified", rain.stat().st_size) and record.digests == {}
    assert way(grid.lake, "sat:scene", "west")[0] == "pull"
    record = grid.lake.datasets.get("sat:scene")
    assert record.state == "verified" and record.digests["adler32"].origin == "destination"
    grid.lake.datasets.copy("sat:scene", "east")
    assert grid.lake.datasets.get("sat:scene").digests["adler32"].confirmed

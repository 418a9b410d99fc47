"""The data lake in Python: one body of tests, against an engine in this process and against one behind an address."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from gemel import Client, connect
from gemel.base.config import load_settings
from gemel.base.errors import (
    ConfigInvalid,
    Conflict,
    Denied,
    EngineStopped,
    GemelError,
    InvalidInput,
    NotFound,
    OutOfBounds,
    ResultCorrupt,
    StoreFull,
)
from gemel.core.engine import Engine, Service, open_engine
from stage import serving

RAIN = "day,rain\n1,2.5\n2,0.0\n"


@pytest.fixture(params=["local", "remote"])
def client(request: pytest.FixtureRequest, home: Path) -> Iterator[Client]:
    with contextlib.ExitStack() as stack:
        if request.param == "local":
            yield stack.enter_context(connect(home=home))
            return
        engine = stack.enter_context(open_engine(load_settings(home=home, assignments=["lake.pace=1 h"])))
        engine.serve()
        server = stack.enter_context(serving(Service(engine)))
        yield stack.enter_context(connect(server.url, home=home))


@pytest.fixture
def rain(tmp_path: Path) -> Path:
    path = tmp_path / "rain.csv"
    path.write_text(RAIN)
    return path


@pytest.fixture
def archive(client: Client, tmp_path: Path) -> Path:
    client.data.storages.add("archive", "local", folder=tmp_path / "archive", site="kiel", tags=["disk"])
    return tmp_path / "archive"


def test_a_file_goes_in_is_found_opened_and_comes_back(client, rain, tmp_path):
    about = {"metadata": {"variable": "rain", "depth": [1, 2.5, None]}, "licence": "CC0-1.0", "lifetime": "30 d"}
    heard: list[dict] = []
    record = client.data.put(rain, "fulda:rain.csv", into="fulda:all", listener=heard.append, **about)
    assert record["state"] == "verified" and record["metadata"] == about["metadata"] and record["expires"]
    assert heard[-1] == {"bytes": len(RAIN), "size": len(RAIN)}
    assert client.data.get("fulda:rain.csv") == record
    assert [item["name"] for item in client.data.find("variable=rain", "fulda")] == ["fulda:rain.csv"]
    assert client.data.get("fulda:all")["members"] == ["fulda:rain.csv"]
    pd.testing.assert_frame_equal(client.data.open("fulda:rain.csv"), pd.read_csv(rain))
    assert client.data.fetch("fulda:rain.csv", tmp_path / "back.csv").read_text() == RAIN
    assert client.data.describe("fulda:all", rows=1)["preview"] == [{"day": 1, "rain": 2.5}], (
        "a group of one file is it"
    )
    client.data.remove("fulda:rain.csv")
    assert [change["type"] for change in client.data.changes("fulda:rain.csv")] == ["new", "removed"]


@pytest.mark.parametrize(
    "name", ["odd:50% #1 ü&=;+,'\"(x).csv", "odd:%2e%2e", "odd:...", "odd:~", "odd:\N{SNOWMAN}.csv"]
)
def test_odd_names_are_names_like_others(client, rain, name, tmp_path):
    client.data.put(rain, name)
    assert [item["name"] for item in client.data.find(f"{name[:5]}", "odd:")] == [name]
    assert client.data.fetch(name, tmp_path / "back").read_text() == RAIN
    pd.testing.assert_frame_equal(client.data.open(name, format="CSV"), pd.read_csv(rain))
    client.data.remove(name)


def test_a_cube_is_read_where_it_lies(client, tmp_path):
    values = np.random.default_rng(1).normal(size=(400, 500))
    made = xr.DataArray(values, {"x": np.arange(400.0)}, ("x", "y"), "t", {"units": "K"})
    made.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    client.data.put(tmp_path / "a.nc", "cubes:a.nc")
    opened = client.data.open("cubes:a.nc")
    assert opened.dims == ("x", "y") and opened.attrs["units"] == "K"
    np.testing.assert_array_equal(opened[17, 3:9].values, values[17, 3:9])
    found = client.data.describe("cubes:a.nc", rows=2)
    assert found["dimensions"] == {"x": {"size": 400, "first": 0.0, "last": 399.0}, "y": {"size": 500}}
    assert found["variables"] == [{"name": "t", "dimensions": ["x", "y"], "type": "float64", "unit": "K"}]
    np.testing.assert_allclose(found["preview"]["values"], values[:2, :2])
    opened.close()


def test_two_openings_of_a_whole_file_fetch_it_once(client, rain, home):
    client.data.put(rain, "cached:rain.csv")
    first = client.data.open("cached:rain.csv")
    files = [path for path in (home / "cache").rglob("*.csv") if path.is_file()]
    pd.testing.assert_frame_equal(client.data.open("cached:rain.csv", format="CSV"), first)
    assert [path for path in (home / "cache").rglob("*.csv") if path.is_file()] == files


def test_copies_are_asked_for_waited_for_and_told(client, rain, archive):
    client.data.put(rain, "moving:a", into="moving:all")
    client.data.put(rain, "moving:b", into="moving:all")
    heard: list[dict] = []
    handle = client.data.copy("moving:all", "archive", priority=3)
    assert handle.wait(heard.append) is handle and handle.state == "done"
    assert handle.progress == {"bytes": 2 * len(RAIN), "size": 2 * len(RAIN), "files": 2, "of": 2, "note": None}
    assert heard[-1] == handle.progress and repr(handle) == "<Transfers of 2 files: done>"
    assert {item["priority"] for item in handle.documents} == {3} and "<table>" in handle._repr_html_()
    assert {item["id"] for item in client.data.transfers(state="done")} == set(handle.ids)
    assert client.data.transfer(handle.ids[0]).documents[0]["way"] == "stream"
    assert client.data.move(["moving:a", "moving:b"], "archive").wait().state == "done"
    places = [replica["storage"] for name in ("moving:a", "moving:b") for replica in client.data.get(name)["replicas"]]
    assert places == ["archive", "archive"]
    assert client.data.storages.get("archive")["used"] == 2 * len(RAIN)


def test_many_transfers_are_followed_together(client, rain, archive):
    for number in range(120):
        (archive / "many").mkdir(parents=True, exist_ok=True)
        (archive / "many" / f"{number}.txt").write_text(str(number))
    names = client.data.register_folder("many", "archive", "many/", licence="MIT")
    assert len(names) == 120 and client.data.get(names[0])["licence"] == "MIT"
    handle = client.data.copy(names, "home").wait()
    assert handle.state == "done" and len(handle.ids) == 120


def test_a_failed_transfer_raises_what_went_wrong(client, rain, archive, home):
    record = client.data.put(rain, "failing:a")
    (home / "data" / record["replicas"][0]["path"]).unlink()
    handle = client.data.copy("failing:a", "archive")
    with pytest.raises(NotFound) as failed:
        handle.wait()
    assert type(failed.value) is NotFound and failed.value.context["transfer"] == handle.ids[0]
    assert handle.state == "failed" and client.data.transfers(state="failed")[0]["id"] == handle.ids[0]


def test_a_cancelled_transfer_says_so(client, rain, archive):
    client.data.put(rain, "cancelled:a")
    client.data.storages.set("archive", quota=1)  # so that it is tried again later
    handle = client.data.copy("cancelled:a", "archive").cancel()
    with pytest.raises(GemelError, match="were cancelled"):
        handle.wait()
    assert handle.state == "cancelled"


def test_damage_is_found_repaired_and_never_handed_out(client, tmp_path, archive, home):
    content = os.urandom(1_000_000)
    (tmp_path / "a.bin").write_bytes(content)
    record = client.data.put(tmp_path / "a.bin", "damaged:a.bin")
    path = home / "data" / record["replicas"][0]["path"]
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ResultCorrupt):
        client.data.fetch("damaged:a.bin", tmp_path / "back.bin")
    assert not (tmp_path / "back.bin").exists()
    assert client.data.verify("damaged:a.bin")["replicas"][0]["outcome"] == "damaged"
    path.write_bytes(content)
    client.data.copy("damaged:a.bin", "archive").wait()
    path.write_bytes(content[:-1])
    assert client.data.fetch("damaged:a.bin", tmp_path / "back.bin").read_bytes() == content, "the other one is right"
    heard: list[dict] = []
    found = client.data.verify(listener=heard.append)
    assert found["passed"] and sorted(item["outcome"] for item in found["replicas"]) == ["good", "repaired"]
    assert path.parent.parent.exists() and client.data.verify()["passed"]


def test_storages_rules_tokens_and_watches(client, rain, archive, tmp_path, monkeypatch):
    assert [item["name"] for item in client.data.storages.list()] == ["home", "archive"]
    assert client.data.storages.get("archive")["tags"] == ["disk"]
    assert client.data.storages.set("archive", tags=[], quota=5_000)["quota"] == 5_000
    assert client.data.storages.set("archive", quota=None) == client.data.storages.get("archive")
    rule = client.data.rules.add("ruled:a", 2, near=["kiel"])
    assert client.data.keep()["rules"] == {rule["id"]: "stuck"}
    assert "there is no such dataset" in client.data.rules.list("ruled:a")[0]["reason"]
    client.data.put(rain, "ruled:a")
    assert client.data.keep()["rules"] == {rule["id"]: "copying"}
    client.data.transfer(client.data.transfers(name="ruled:a")[0]["id"]).wait()
    assert client.data.keep()["rules"] == {rule["id"]: "ok"}
    assert client.data.storages.reclaim("archive") == []
    client.data.rules.remove(rule["id"])
    assert [item["name"] for item in client.data.storages.reclaim("archive", 1)] == ["ruled:a"]
    monkeypatch.setenv("KIEL_TOKEN", "very-secret-token")
    client.data.tokens.add("kiel", "static", token="env:KIEL_TOKEN")
    client.data.storages.add("dav", "webdav", url="http://127.0.0.1:9/dav", profile="kiel")
    trial = client.data.tokens.trial("dav", "read", "a.nc")
    assert trial["worked"] and "very-secret-token" not in str(
        [trial, client.data.tokens.list(), client.data.storages.list()]
    )
    client.data.storages.remove("dav")
    client.data.tokens.remove("kiel")
    (archive / "inbox").mkdir(parents=True)
    (archive / "inbox" / "a.txt").write_text("a")
    os.utime(archive / "inbox" / "a.txt", (1e9, 1e9))
    watch = client.data.watches.add("archive", "inbox", "inbox", pattern="*.txt")
    assert client.data.watches.scan() == ["inbox:a.txt"] and client.data.watches.list()[0]["problem"] is None
    client.data.watches.remove(watch["id"])
    assert client.data.notify({"Records": []}) == []


def test_changes_are_followed(client, rain):
    client.data.put(rain, "changes:a")
    last = list(client.data.changes())[-1]["number"]
    followed = client.data.changes(after=last, follow=True)
    client.data.remove("changes:a")
    change = next(followed)
    assert (change["type"], change["name"]) == ("removed", "changes:a") and change["number"] > last
    assert client.data.transport.last_change() == change["number"]
    followed.close()


def test_items_are_exported(client, tmp_path):
    pytest.importorskip("pyarrow")
    catalogue = _engine(client).catalogue if _engine(client) else None
    if catalogue is None:
        with pytest.raises(NotFound):
            client.data.export("sky", tmp_path / "sky.parquet")
        return
    catalogue.put_collection(_collection("sky"))
    catalogue.put_items("sky", [_item("sky", number) for number in range(3)])
    assert client.data.export("sky", tmp_path / "sky.parquet") == 3
    assert len(pd.read_parquet(tmp_path / "sky.parquet")) == 3


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda data, file: data.get("a:rain.csb"), NotFound, "'a:rain.csv'"),
        (lambda data, file: data.get("../x"), InvalidInput, "no name"),
        (lambda data, file: data.get(".."), InvalidInput, "no name"),
        (lambda data, file: data.put(file, "a:rain.csv"), Conflict, "already"),
        (lambda data, file: data.put(file.parent / "none", "a:b"), NotFound, "no file"),
        (lambda data, file: data.put(file, "a:b", storage="hoem"), NotFound, "'home'"),
        (lambda data, file: data.put(file, "a:b", digests={"sha256": "0" * 64}), ResultCorrupt, "sha256"),
        (lambda data, file: data.put(file, "a:b", digests={"crc32": "0"}), InvalidInput, "crc32"),
        (lambda data, file: data.put(file, "a:b", lifetime="soon"), InvalidInput, "soon"),
        (lambda data, file: data.put(file, "a:b", lifetime="1e9 d"), InvalidInput, "1e9 d"),
        (lambda data, file: data.put(file, "a:b", lifetime="99999999 d"), OutOfBounds, "hundred years"),
        (lambda data, file: data.put(file, "a:b", metadata={"a": float("nan")}), InvalidInput, "JSON"),
        (lambda data, file: data.put(file, "a:b", into="b"), InvalidInput, "no name"),
        (lambda data, file: data.put(file, "a:b", licnce="MIT"), InvalidInput, "licnce"),
        (lambda data, file: data.put(file, "a:b", licence="a\nb"), InvalidInput, "licence"),
        (lambda data, file: data.put(file, "a:b", metadata={"a": "\ud800"}), InvalidInput, ""),
        (lambda data, file: data.storages.set("home", sitte="a"), InvalidInput, "sitte"),
        (lambda data, file: data.rules.add("a:b", 1, naer=["a"]), InvalidInput, "naer"),
        (lambda data, file: data.watches.add("home", "a", patern="x"), InvalidInput, "patern"),
        (lambda data, file: data.fetch("a:rain.csv", file), Conflict, "already"),
        (lambda data, file: data.fetch("a:rain.csv", file.parent / "no" / "x"), NotFound, "folder"),
        (lambda data, file: data.fetch("a:none", file), NotFound, "a:none"),
        (lambda data, file: data.open("a:rain.csv", format="Frob"), GemelError, "Frob"),
        (lambda data, file: data.open("a:all"), InvalidInput, "2 files"),
        (lambda data, file: data.fetch("a:all", file.parent / "x"), InvalidInput, "2 files"),
        (lambda data, file: data.describe("a:none"), NotFound, "a:none"),
        (lambda data, file: data.copy("a:rain.csv", "none"), NotFound, "storage"),
        (lambda data, file: data.copy("a:rain.csv", "web"), Denied, "only read"),
        (lambda data, file: data.copy("a:rain.csv", "home", priority=5000), InvalidInput, ""),
        (lambda data, file: data.transfer("transfer-none"), NotFound, "transfer-none"),
        (lambda data, file: data.transfers(state="lost"), InvalidInput, "lost"),
        (lambda data, file: data.register("a:x", "home", "../token"), InvalidInput, "path"),
        (lambda data, file: data.register("a:x", "home", "none.nc"), NotFound, "none.nc"),
        (lambda data, file: data.register_folder("A", "home"), InvalidInput, "no name"),
        (lambda data, file: data.register_folder("a", "none"), NotFound, "none"),
        (lambda data, file: data.group("a:all", ["a:all"]), InvalidInput, "a:all"),
        (lambda data, file: data.remove("a:none"), NotFound, "a:none"),
        (lambda data, file: data.verify("a:none"), NotFound, "a:none"),
        (lambda data, file: data.storages.add("home", "local", folder="/x"), Conflict, "home"),
        (lambda data, file: data.storages.add("x", "local", fodler="/x"), ConfigInvalid, "folder"),
        (lambda data, file: data.storages.set("none", site="a"), NotFound, "none"),
        (lambda data, file: data.storages.set("home", quota=-1), InvalidInput, ""),
        (lambda data, file: data.storages.remove("home"), Conflict, "home"),
        (lambda data, file: data.tokens.add("x", "frob"), ConfigInvalid, "frob"),
        (lambda data, file: data.tokens.trial("home", "read"), ConfigInvalid, "profile"),
        (lambda data, file: data.rules.add("a:b", 0), InvalidInput, ""),
        (lambda data, file: data.rules.add("a:b", 1, storages=["none"]), NotFound, "none"),
        (lambda data, file: data.rules.remove("rule-none"), NotFound, "rule-none"),
        (lambda data, file: data.watches.add("none", "a"), NotFound, "none"),
        (lambda data, file: data.watches.remove("watch-none"), NotFound, "watch-none"),
        (lambda data, file: data.notify({"Records": 5}), InvalidInput, "Records"),
        (lambda data, file: next(data.changes("x")), InvalidInput, "no name"),
        (lambda data, file: data.export("none", file.parent / "x.parquet"), NotFound, "none"),
    ],
)
def test_errors_are_the_same_classes_with_the_same_words(refusing, rain, ask, error, says):
    before = [item["name"] for item in refusing.data.find()]
    with pytest.raises(error) as refused:
        ask(refusing.data, rain)
    assert type(refused.value) is error or error is GemelError or (not says and isinstance(refused.value, error))
    assert says in f"{refused.value.message} {refused.value.hint or ''}"
    assert [item["name"] for item in refusing.data.find()] == before and rain.read_text() == RAIN


@pytest.fixture(scope="module", params=["local", "remote"])
def refusing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("refusing")
    (folder / "rain.csv").write_text(RAIN)
    with contextlib.ExitStack() as stack:
        if request.param == "local":
            client = stack.enter_context(connect(home=folder / "home"))
        else:
            engine = stack.enter_context(open_engine(load_settings(home=folder / "home")))
            client = stack.enter_context(
                connect(stack.enter_context(serving(Service(engine))).url, home=folder / "home")
            )
        for name in ("a:rain.csv", "a:snow.csv"):
            client.data.put(folder / "rain.csv", name, into="a:all")
        client.data.storages.add("web", "http", url="http://127.0.0.1:9/x")
        yield client


def test_a_full_storage_is_told_and_nothing_is_kept(client, rain, archive):
    client.data.storages.set("archive", quota=3)
    with pytest.raises(StoreFull):
        client.data.put(rain, "full:a", storage="archive")
    assert client.data.find("full:") == [] and not [path for path in archive.rglob("*") if path.is_file()]


def test_a_file_that_is_too_large_is_refused_before_it_is_sent_whole(home, tmp_path):
    (tmp_path / "large.bin").write_bytes(os.urandom(30_000_000))
    settings = load_settings(home=home, assignments=["server.upload=1 MB"])
    with open_engine(settings) as engine, serving(Service(engine)) as server, connect(server.url, home=home) as client:
        with pytest.raises(OutOfBounds, match="1 MB"):
            client.data.put(tmp_path / "large.bin", "large:a")
        assert client.data.find() == []


def test_an_engine_that_goes_away_in_the_middle_is_told(home, rain, tmp_path):
    with open_engine(load_settings(home=home)) as engine:
        with serving(Service(engine)) as server:
            client = connect(server.url, home=home)
            client.data.put(rain, "away:a")
        with pytest.raises(EngineStopped):
            client.data.fetch("away:a", tmp_path / "back")
        with pytest.raises(EngineStopped):
            client.data.verify()
        client.close()
    assert not (tmp_path / "back").exists()


def test_a_client_that_leaves_ends_the_work_it_followed(home, tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(load_settings(home=home)))
        server = stack.enter_context(serving(Service(engine)))
        client = stack.enter_context(connect(server.url, home=home))
        client.data.put(tmp_path / "a.bin", "left:a")
        told = client.data.transport._connection.events("POST", "/data/verify", json={"names": []})
        first = next(iter(told))
        told.close()
        assert "progress" in first or "result" in first
        assert client.data.verify()["passed"]


def _engine(client: Client) -> Engine | None:
    return getattr(client.transport, "engine", None)


def _collection(id: str) -> dict:
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    document = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": id,
        "description": "Synthetic.",
        "license": "other",
    }
    return document | {"extent": extent, "links": []}


def _item(collection: str, number: int) -> dict:
    document = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": f"item-{number}",
        "collection": collection,
        "links": [],
    }
    geometry = {"type": "Point", "coordinates": [float(number), 50.0]}
    times = {"datetime": f"2001-01-0{number + 1}T00:00:00Z"}
    return document | {"geometry": geometry, "bbox": [number, 50, number, 50], "properties": times, "assets": {}}

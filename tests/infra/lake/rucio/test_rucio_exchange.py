"""Our datasets, replicas and rules seen in a real Rucio, and theirs here."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from lake_of_tests import Lake
from rucio_server import serving_rucio
from rucio_stage import DAV, DISK

from gemel.base.errors import ConfigInvalid, Conflict, Denied, InvalidInput, NotFound, ResultCorrupt
from gemel.infra.lake.datasets import Facts
from gemel.infra.lake.keeping import Where
from gemel.infra.lake.rucio import Did, Matching, RucioExchange
from gemel.infra.store import schema

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rucio")]
_NUMBERS = itertools.count()


@pytest.fixture
def scope(stage) -> str:
    """Return a scope of its own: nothing that another test made is in it."""
    made = f"e{next(_NUMBERS)}"
    stage.client.add_scope(made)
    return made


def exchange(lake, **matching) -> RucioExchange:
    parts = lake.store, schema.metadata.tables, lake.datasets, lake.storages
    return RucioExchange(*parts, "disk", Matching(**matching))


@pytest.fixture
def lent(lake, stage):
    """Return an exchange that knows the lake's own folder as an RSE, and that RSE's name."""
    name = f"OURS-{next(_NUMBERS)}"
    lake.keeper.standings.set("archive", site="kassel", tags=("spinning",))
    found = exchange(lake, rses={"archive": name})
    found.lend("archive", name)
    stage.client.set_limit(name, 10**12)
    return found, name


def put(lake, name: str, content: bytes, tmp_path: Path, storage: str = "archive", **facts) -> None:
    file = tmp_path / "put"
    file.write_bytes(content)
    lake.datasets.put(file, name, storage=storage, facts=Facts(**facts))


def test_our_datasets_replicas_and_rules_are_seen_there(lake, lent, scope, stage, tmp_path):
    ours, rse = lent
    put(lake, f"{scope}:rain 2020.nc", b"rain", tmp_path, licence="CC-BY-4.0", lifetime=timedelta(days=3))
    put(lake, f"{scope}:snow.nc", b"Wikipedia", tmp_path)
    lake.datasets.group(f"{scope}:daily", [f"{scope}:rain 2020.nc", f"{scope}:snow.nc"])
    lake.datasets.group(f"{scope}:all", [f"{scope}:daily"], kind="container")
    rule = lake.keeper.rules.add(f"{scope}:daily", 1, Where(near=("kassel",), tags=("spinning",)))
    report = ours.seen_there([f"{scope}:all"])
    names = {f"{scope}:{name}" for name in ("all", "daily", "rain 2020.nc", "snow.nc")}
    assert set(report.new) == names | {f"{rule.id}: 1 on site=kassel&spinning=True"}
    assert not report.refused and not report.known
    assert "licence" in report.notes[0]  # on SQLite Rucio has no place for it
    there = {item.did.name: item for item in stage.client.find(scope)}
    assert {name: item.kind for name, item in there.items()} == {
        "all": "container", "daily": "dataset", "rain__202020.nc": "file", "snow.nc": "file",
    }  # fmt: skip
    assert {item.did.name for item in stage.client.members(Did(scope, "all"))} == {"daily"}
    (held,) = stage.client.replicas([Did(scope, "snow.nc")])
    assert held.digests["adler32"] == "11e60398"
    assert held.places == {rse: (f"file://localhost{lake.path(f'{scope}:snow.nc', 'archive')}",)}
    known = stage.client.known([Did(scope, "rain__202020.nc")])[Did(scope, "rain__202020.nc")]
    record = lake.datasets.get(f"{scope}:rain 2020.nc")
    assert known.expires == pytest.approx(record.expires, abs=10)
    (seen,) = ours.rules_there(f"{scope}:daily")
    assert (seen.state, seen.locks, seen.copies) == ("OK", (2, 0, 0), 1)
    # What comes later is taken in by Rucio's own judge.
    put(lake, f"{scope}:later.nc", b"later", tmp_path)
    lake.datasets.group(f"{scope}:daily", [f"{scope}:later.nc"])
    again = ours.seen_there([f"{scope}:all"])
    assert set(again.new) == {f"{scope}:daily", f"{scope}:later.nc"}
    assert len(again.known) == 4
    stage.server.daemon("judge-evaluator")
    (seen,) = ours.rules_there(f"{scope}:daily")
    assert (seen.state, seen.locks) == ("OK", (3, 0, 0))


def test_sent_twice_nothing_is_new_and_what_came_back_is_the_same(lake, lent, scope, tmp_path):
    ours, _ = lent
    for number in range(3):
        put(lake, f"{scope}:f{number}", bytes([number]), tmp_path)
    lake.datasets.group(f"{scope}:set", [f"{scope}:f{number}" for number in range(3)])
    lake.keeper.rules.add(f"{scope}:set", 1, Where(storages=("archive",)))
    before = [lake.datasets.get(f"{scope}:{name}").document() for name in ("set", "f0", "f1", "f2")]
    assert len(ours.seen_there([f"{scope}:set"]).new) == 5
    again = ours.seen_there([f"{scope}:set"])
    assert not again.new and not again.refused and len(again.known) == 5
    back = ours.seen_here(scope)
    assert not back.new and not back.refused and len(back.known) == 4
    assert [rule.state for rule in back.rules] == ["OK"]
    assert [lake.datasets.get(f"{scope}:{name}").document() for name in ("set", "f0", "f1", "f2")] == before


def test_what_cannot_be_sent_is_refused_by_name_with_its_reason(lake, lent, scope, stage, tmp_path):
    ours, rse = lent
    stage.client.add_replicas(rse, [{"scope": scope, "name": "taken", "bytes": 4, "adler32": "00000001",
                                     "pfn": f"file://localhost{tmp_path}/archive/elsewhere"}])  # fmt: skip
    stage.client.add_groups([(Did(scope, "group"), "dataset", None)])
    for name in ("taken", "group", "fine"):
        put(lake, f"{scope}:{name}", b"rain", tmp_path)
    put(lake, f"{scope}:{'µ' * 80}", b"long", tmp_path)
    put(lake, "unknown-there:x", b"rain", tmp_path)
    put(lake, f"{scope}:at-home", b"rain", tmp_path, storage="home")
    names = [f"{scope}:{name}" for name in ("taken", "group", "fine", "µ" * 80, "at-home")]
    lake.datasets.group(f"{scope}:all", [*names, "unknown-there:x"])
    report = ours.seen_there([f"{scope}:all"])
    reasons = {item.name: item.reason for item in report.refused}
    assert reasons.pop(f"{scope}:taken").startswith("Its adler32 digest is")
    assert "a file here and a dataset in Rucio" in reasons.pop(f"{scope}:group")
    assert "too long for Rucio" in reasons.pop(f"{scope}:{'µ' * 80}")
    assert "no scope 'unknown-there'" in reasons.pop("unknown-there:x")
    assert "no replica on a storage that is an RSE" in reasons.pop(f"{scope}:at-home")
    assert not reasons
    assert set(report.new) == {f"{scope}:fine", f"{scope}:all"}
    assert {item.did.name for item in stage.client.members(Did(scope, "all"))} == {"fine"}
    assert stage.client.known([Did(scope, "taken")])[Did(scope, "taken")].digests == {"adler32": "00000001"}


def test_a_rule_that_rucio_cannot_keep_is_refused_and_the_others_are_made(lake, lent, scope, stage, tmp_path):
    ours, rse = lent
    put(lake, f"{scope}:f", b"rain", tmp_path)
    wanted = {
        "apart": lake.keeper.rules.add(f"{scope}:f", 2, Where(apart=True)),
        "nowhere": lake.keeper.rules.add(f"{scope}:f", 1, Where(near=("nowhere",))),
        "many": lake.keeper.rules.add(f"{scope}:f", 5, Where(storages=("archive",))),
        "home": lake.keeper.rules.add(f"{scope}:f", 1, Where(storages=("home",))),
        "good": lake.keeper.rules.add(f"{scope}:f", 1, Where(storages=("archive",)), lifetime=timedelta(days=1)),
    }
    report = ours.seen_there([f"{scope}:f"])
    reasons = {item.name.partition(":")[0]: item.reason for item in report.refused}
    assert "different sites" in reasons[wanted["apart"].id]
    assert "empty set" in reasons[wanted["nowhere"].id]
    assert "5 copies requested" in reasons[wanted["many"].id]
    assert "no RSE there" in reasons[wanted["home"].id]
    assert len(reasons) == 4
    (seen,) = ours.rules_there(f"{scope}:f")
    assert (seen.expression, seen.copies) == (rse, 1)
    assert seen.expires == pytest.approx(wanted["good"].expires, abs=10)
    stage.client.set_limit(rse, 3)
    put(lake, f"{scope}:larger", b"larger than the account's limit", tmp_path)
    over = lake.keeper.rules.add(f"{scope}:larger", 1, Where(storages=("archive",)))
    report = ours.seen_there([f"{scope}:larger"])
    assert report.new == (f"{scope}:larger",)
    (refused,) = report.refused
    assert refused.name.startswith(over.id)
    assert "limit" in refused.reason or "quota" in refused.reason


def write_there(lake, storage: str, scope: str, name: str, content: bytes) -> None:
    lake.storages.get(storage).write(f"{scope}/{name}", io.BytesIO(content))


@pytest.fixture
def grid(tmp_path: Path) -> bytes:
    """Return a small NetCDF file."""
    path = tmp_path / "grid.nc"
    cells = np.random.default_rng(3).normal(size=(3, 4))
    xr.DataArray(cells, dims=("y", "x"), name="rain", attrs={"units": "mm"}).to_netcdf(path, engine="h5netcdf")
    return path.read_bytes()


def test_theirs_are_seen_here_and_opened_verified(lake, scope, stage, grid, tmp_path):
    write_there(lake, "dav", scope, "mc/2020/rain.nc", grid)
    write_there(lake, "disk", scope, "mc/2020/rain.nc", grid)
    write_there(lake, "dav", scope, "%2Fbelle%2Fplain.txt", b"slashes")
    write_there(lake, "dav", scope, "with blank µ.txt", b"letters")
    stage.client.add_groups([(Did(scope, "set"), "dataset", 86_400), (Did(scope, "all"), "container", None)])
    stage.client.attach(Did(scope, "set"), [Did(scope, "mc/2020/rain.nc"), Did(scope, "/belle/plain.txt")])
    stage.client.attach(Did(scope, "all"), [Did(scope, "set")])
    rule = stage.client.add_rule(Did(scope, "set"), 1, DAV)
    report = exchange(lake).seen_here(scope)
    names = ("mc%2F2020%2Frain.nc", "%2Fbelle%2Fplain.txt", "with blank µ.txt", "set", "all")
    assert set(report.new) == {f"{scope}:{name}" for name in names}
    assert not report.refused and not report.known
    assert [item.id for item in report.rules] == [rule]
    record = lake.datasets.get(f"{scope}:mc%2F2020%2Frain.nc")
    assert (record.state, record.size) == ("unverified", len(grid))
    assert {item.storage for item in record.replicas} == {"disk", "dav"}
    assert {key: item.origin for key, item in record.digests.items()} == {"adler32": "source", "md5": "source"}
    assert [item.name.name for item in lake.datasets.files(f"{scope}:all")] == sorted(names[:2])
    cube = lake.datasets.open(f"{scope}:mc%2F2020%2Frain.nc")
    np.testing.assert_array_equal(cube.values, np.random.default_rng(3).normal(size=(3, 4)))
    fetched = lake.datasets.fetch(f"{scope}:%2Fbelle%2Fplain.txt", tmp_path / "plain.txt")
    assert (tmp_path / "plain.txt").read_bytes() == b"slashes"
    assert fetched.state == "verified"
    assert {"adler32", "md5"} <= {key for key, item in fetched.digests.items() if item.confirmed is not None}
    again = exchange(lake).seen_here(scope)
    assert not again.new and not again.refused and len(again.known) == 5
    assert json.dumps(again.document())


def test_what_rucio_gets_later_comes_here_later(lake, scope, stage, grid):
    write_there(lake, "disk", scope, "first", grid)
    stage.client.add_groups([(Did(scope, "set"), "dataset", None)])
    stage.client.attach(Did(scope, "set"), [Did(scope, "first")])
    assert len(exchange(lake).seen_here(scope).new) == 2
    write_there(lake, "dav", scope, "first", grid)
    write_there(lake, "dav", scope, "second", b"second")
    stage.client.attach(Did(scope, "set"), [Did(scope, "second")])
    report = exchange(lake).seen_here(scope)
    assert set(report.new) == {f"{scope}:{name}" for name in ("first", "second", "set")}
    assert {item.storage for item in lake.datasets.get(f"{scope}:first").replicas} == {"disk", "dav"}
    assert len(lake.datasets.files(f"{scope}:set")) == 2
    assert exchange(lake).seen_here(scope, "sec*").known == (f"{scope}:second",)
    assert exchange(lake).seen_here(scope, since=datetime(2100, 1, 1, tzinfo=UTC)).known == ()
    assert len(exchange(lake).seen_here(scope, since=datetime(2000, 1, 1, tzinfo=UTC)).known) == 3


def test_a_name_that_means_other_bytes_here_is_reported_and_nothing_is_overwritten(lake, scope, tmp_path):
    put(lake, f"{scope}:same", b"ours", tmp_path)
    put(lake, f"{scope}:larger", b"ours", tmp_path)
    put(lake, f"{scope}:kind", b"ours", tmp_path)
    before = lake.datasets.get(f"{scope}:same").document()
    write_there(lake, "disk", scope, "same", b"them")
    write_there(lake, "disk", scope, "larger", b"theirs")
    exchange(lake).server.add_groups([(Did(scope, "kind"), "dataset", None)])
    report = exchange(lake).seen_here(scope)
    reasons = {item.name: item.reason for item in report.refused}
    assert "adler32 digest is" in reasons[f"{scope}:same"]
    assert "4 bytes here and 6 in Rucio" in reasons[f"{scope}:larger"]
    assert "a file here and a dataset in Rucio" in reasons[f"{scope}:kind"]
    assert not report.new
    assert lake.datasets.get(f"{scope}:same").document() == before


def test_bytes_that_rot_on_an_rse_are_found_when_they_are_fetched(lake, scope, stage, tmp_path):
    write_there(lake, "disk", scope, "rotten", b"as it was written")
    exchange(lake).seen_here(scope)
    (place,) = next(stage.client.replicas([Did(scope, "rotten")])).places[DISK]
    Path(place.removeprefix("file://localhost")).write_bytes(b"as it was wRitten")
    with pytest.raises(ResultCorrupt, match="does not match"):
        lake.datasets.fetch(f"{scope}:rotten", tmp_path / "rotten")
    assert not (tmp_path / "rotten").exists()


def test_scopes_with_capitals_come_under_the_name_that_was_given(lake, stage, grid, tmp_path):
    theirs = f"MC16.{next(_NUMBERS)}"
    stage.client.add_scope(theirs)
    write_there(lake, "disk", theirs, "rain.nc", grid)
    report = exchange(lake).seen_here(theirs)
    assert [item.name for item in report.refused] == [f"{theirs}:rain.nc"]
    named = exchange(lake, scopes={"mc16": theirs})
    assert named.seen_here(theirs).new == ("mc16:rain.nc",)
    assert named.seen_there(["mc16:rain.nc"]).known == ("mc16:rain.nc",)
    with pytest.raises(ConfigInvalid, match="cannot be one"):
        exchange(lake, scopes={"a": theirs, "b": theirs})


def test_names_of_theirs_that_cannot_be_told_apart_here_are_reported(lake, scope):
    server = exchange(lake).server
    server.add_replicas(DISK, [{"scope": scope, "name": "a__41b", "bytes": 1, "adler32": "00000001"}])
    server.add_replicas(DISK, [{"scope": scope, "name": "aAb", "bytes": 2, "adler32": "00000001"}])
    report = exchange(lake).seen_here(scope)
    assert report.new == (f"{scope}:aAb",)
    (refused,) = report.refused
    assert refused.name == f"{scope}:a__41b"
    assert "cannot be told" in refused.reason


def test_a_file_without_a_place_that_is_known_here_is_reported(lake, lent, scope, stage, tmp_path):
    _, rse = lent
    entry = {"scope": scope, "name": "far", "bytes": 1, "pfn": f"file://localhost{tmp_path}/archive/far"}
    stage.client.add_replicas(rse, [entry])
    report = exchange(lake).seen_here(scope)
    assert [item.reason for item in report.refused] == ["It has no replica on an RSE that is a storage here."]
    known = exchange(lake, rses={"archive": rse}).seen_here(scope)
    assert known.new == (f"{scope}:far",)
    (replica,) = lake.datasets.get(f"{scope}:far").replicas
    assert (replica.storage, replica.path) == ("archive", "far")


def test_many_files_go_there_and_into_another_lake(lake, lent, scope, stage, tmp_path):
    ours, _ = lent
    folder, noise = tmp_path / "archive" / scope, random.Random(2)
    folder.mkdir(parents=True)
    for number in range(600):
        (folder / f"{number}.bin").write_bytes(noise.randbytes(10))
    registered = lake.datasets.register_all(scope, "archive", scope)
    lake.datasets.group(f"{scope}:all", [str(name) for name in registered])
    report = ours.seen_there([f"{scope}:all"])
    assert len(report.new) == 601
    assert not report.refused
    for name in registered:
        lake.datasets.remove(str(name))
    assert len(ours.seen_here(scope).new) == 601
    assert len(lake.datasets.files(f"{scope}:all")) == 600


def test_what_is_not_there_is_said(lake, scope):
    with pytest.raises(NotFound, match="scope in Rucio 'no-such-scope'"):
        exchange(lake).seen_here("no-such-scope")
    with pytest.raises(NotFound, match="dataset"):
        exchange(lake).seen_there([f"{scope}:nothing"])
    with pytest.raises(InvalidInput, match="not 'rucio'"):
        RucioExchange(lake.store, schema.metadata.tables, lake.datasets, lake.storages, "archive")


def test_an_account_without_rights_is_told_so(lake, stage, scope):
    stage.client.ask("POST", "/accounts/guest", {"type": "USER", "email": "guest@example.org"})
    identity = {"identity": "guest", "authtype": "USERPASS", "email": "guest@example.org", "password": "guest"}
    stage.client.ask("POST", "/accounts/guest/identities", identity)
    secret = stage.server.home / "guest"
    secret.write_text("guest")
    lake.storages.add("poor", "rucio", stage.options(DISK, account="guest", user="guest", password=f"file:{secret}"))
    with pytest.raises(Denied, match="can not add file replicas"):
        lake.storages.get("poor").write(f"{scope}/mine", io.BytesIO(b"x"))
    assert not list(stage.disk.glob(f"{scope}/*/*/mine"))


def test_what_gemel_wrote_onto_an_rse_is_one_file_on_both_sides(lake, scope, stage, tmp_path):
    put(lake, f"{scope}:written.txt", b"by gemel", tmp_path, storage="dav")
    lake.datasets.group(f"{scope}:set", [f"{scope}:written.txt"])
    (replica,) = lake.datasets.get(f"{scope}:written.txt").replicas
    report = exchange(lake).seen_there([f"{scope}:set"])
    assert (report.new, report.known, report.refused) == ((f"{scope}:set",), (f"{scope}:written.txt",), ())
    assert replica.path.replace("/", ":", 1) in report.notes[0]
    assert [f"{item.did.scope}/{item.did.name}" for item in stage.client.members(Did(scope, "set"))] == [replica.path]
    back = exchange(lake).seen_here(scope)
    assert (back.new, back.refused) == ((), ())
    assert set(back.known) == {f"{scope}:set", f"{scope}:written.txt"}
    lake.datasets.remove(f"{scope}:written.txt")
    assert not list((stage.dav.folder / "rucio").rglob("written.txt"))
    assert not list(lake.storages.get("dav").list(scope))


def test_a_copy_on_an_rse_belongs_to_the_name_that_was_sent_before(lake, lent, scope, tmp_path):
    ours, _ = lent
    put(lake, f"{scope}:f", b"rain", tmp_path)
    assert ours.seen_there([f"{scope}:f"]).new == (f"{scope}:f",)
    lake.datasets.copy(f"{scope}:f", "dav")
    again = ours.seen_there([f"{scope}:f"])
    assert (again.new, again.known, again.refused) == ((), (f"{scope}:f",), ())
    back = ours.seen_here(scope)
    assert (back.new, back.known, back.refused) == ((), (f"{scope}:f",), ())


def test_two_imports_at_once_make_each_name_once(lake, scope, stage):
    for number in range(20):
        write_there(lake, "disk", scope, f"f{number}", bytes([number]))
    with ThreadPoolExecutor(4) as threads:
        reports = [threads.submit(exchange(lake).seen_here, scope) for _ in range(4)]
        done = [item.result() for item in reports]
    found = {f"{scope}:f{number}" for number in range(20)}
    made = [name for report in done for name in report.new]
    assert sorted(made) == sorted(found)
    for report in done:
        assert {*report.new, *report.known, *(item.name for item in report.refused)} == found
    assert all(len(lake.datasets.get(name).replicas) == 1 for name in found)


def test_a_rucio_that_keeps_free_metadata_gets_licence_and_sha256_and_gives_them_back(
    postgres_url, sqlite_url, home, tmp_path, stage
):
    place = tmp_path / "rucio"
    place.mkdir()
    address = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    with serving_rucio(place, stage.server.python, address) as server, contextlib.ExitStack() as stack:
        lake = Lake(sqlite_url, home)
        stack.callback(lake.close)
        lake.add_folder("archive", tmp_path / "archive")
        lake.storages.add("disk", "rucio", server.options("OURS", files="yes"))
        ours = exchange(lake, rses={"archive": "OURS"})
        ours.lend("archive", "OURS")
        ours.server.add_scope("fulda")
        # What is called like a column of Rucio's own must not change what Rucio knows of the file.
        metadata = {"station": "Bad Hersfeld", "height": 199.5, "bytes": 5, "shape": [1, 2]}
        put(lake, "fulda:f", b"Wikipedia", tmp_path, licence="CC-BY-4.0", metadata=metadata)
        sha256 = lake.datasets.get("fulda:f").digests["sha256"].value
        assert ours.seen_there(["fulda:f"]).notes == ()
        did = Did("fulda", "f")
        kept = {"station": "Bad Hersfeld", "height": 199.5, "licence": "CC-BY-4.0", "sha256": sha256}
        assert ours.server.free_metadata([did]) == {did: kept}
        assert ours.server.get(did).size == 9
        other = Lake(f"sqlite:///{tmp_path}/other.db", home)
        stack.callback(other.close)
        other.storages.add("disk", "rucio", server.options("OURS", files="yes"))
        assert exchange(other).seen_here("fulda").new == ("fulda:f",)
        record = other.datasets.get("fulda:f")
        assert (record.licence, record.digests["sha256"].value) == ("CC-BY-4.0", sha256)
        assert record.digests["sha256"].origin == "source"
        assert {"station", "height", "rucio"} == set(record.metadata)
        assert other.datasets.fetch("fulda:f", tmp_path / "fetched").state == "verified"


def test_a_storage_is_lent_once_and_under_one_name(lake, lent, stage):
    ours, rse = lent
    assert ours.lend("archive", rse) == stage.client.rse(rse)
    assert stage.client.attributes(rse)["site"] == "kassel"
    assert stage.client.attributes(rse)["spinning"] is True
    with pytest.raises(Conflict):
        ours.lend("home", rse)
    with pytest.raises(InvalidInput, match="Only folders and WebDAV"):
        ours.lend("disk", "AGAIN")


def test_files_of_a_webdav_server_of_ours_are_seen_there_under_their_address(lake, scope, stage, tmp_path):
    rse = f"OURS-DAV-{scope.upper()}"
    (stage.dav.folder / "own").mkdir(exist_ok=True)
    lake.storages.add("web", "webdav", stage.dav.options | {"url": f"{stage.dav.url}/own"})
    ours = exchange(lake, rses={"web": rse})
    ours.lend("web", rse)
    (stage.dav.folder / "own" / "with blank.txt").write_bytes(b"blank")
    lake.datasets.register(f"{scope}:blank", "web", "with blank.txt")
    assert ours.seen_there([f"{scope}:blank"]).new == (f"{scope}:blank",)
    (held,) = stage.client.replicas([Did(scope, "blank")])
    assert held.places == {rse: (f"{stage.dav.url}/own/with%20blank.txt",)}
    lake.datasets.remove(f"{scope}:blank")
    assert ours.seen_here(scope).new == (f"{scope}:blank",)
    assert lake.datasets.get(f"{scope}:blank").replicas[0].path == "with blank.txt"
    lake.datasets.fetch(f"{scope}:blank", tmp_path / "blank")
    assert (tmp_path / "blank").read_bytes() == b"blank"


def test_a_file_that_was_sent_before_its_digest_was_known_stays_the_same_file(lake, lent, scope, tmp_path):
    ours, _ = lent
    (tmp_path / "archive" / "raw").write_bytes(b"rain")
    lake.datasets.register(f"{scope}:raw", "archive", "raw")
    assert ours.seen_there([f"{scope}:raw"]).new == (f"{scope}:raw",)
    lake.datasets.verify([f"{scope}:raw"])
    assert lake.datasets.get(f"{scope}:raw").digests
    assert ours.seen_there([f"{scope}:raw"]).known == (f"{scope}:raw",)
    assert ours.seen_here(scope).known == (f"{scope}:raw",)
    # Elsewhere, and without a digest, it could be another one.
    ours.server.add_replicas(DISK, [{"scope": scope, "name": "other", "bytes": 4}])
    put(lake, f"{scope}:other", b"snow", tmp_path)
    for report in (ours.seen_there([f"{scope}:other"]), ours.seen_here(scope, "other")):
        assert [item.name for item in report.refused] == [f"{scope}:other"]
        assert "cannot be told" in report.refused[0].reason

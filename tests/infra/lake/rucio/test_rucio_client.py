"""Speaking with a real Rucio server: signing in, round trips of all verbs, and servers that are wrong or away."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from collections.abc import Iterator

import httpx2
import pytest
from lake_servers import free_port
from rucio_stage import DAV, DISK, SCOPE

from gemel.base.errors import (
    Conflict,
    Denied,
    GemelError,
    InvalidInput,
    NotFound,
    StoreFull,
    StoreUnavailable,
    Unauthenticated,
)
from gemel.infra.lake.rucio import Did, Protocol, Rucio
from gemel.infra.lake.rucio._errors import refusal
from gemel.infra.lake.tokens import Broker
from gemel.infra.store import open_store, schema

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rucio")]


def options(stage, **more: str) -> dict[str, str]:
    known = {key: value for key, value in stage.server.options("-").items() if key != "rse"}
    return known | more


@pytest.fixture
def client(stage) -> Iterator[Rucio]:
    with contextlib.closing(Rucio("rucio", options(stage))) as found:
        yield found


def test_the_server_is_the_version_of_the_pins(client):
    assert client.version() == "41.5.1"
    assert client.describe()["status"] == "ACTIVE"


def test_groups_go_round(client):
    inner, outer = Did(SCOPE, "client/inner"), Did(SCOPE, "client/outer")
    client.add_replicas(
        DISK, [{"scope": SCOPE, "name": f"client/{n}", "bytes": n, "adler32": f"{n:08x}"} for n in (1, 2)]
    )
    files = [Did(SCOPE, f"client/{n}") for n in (1, 2)]
    client.add_groups([(inner, "dataset", 1000), (outer, "container", None)])
    client.attach(inner, files)
    client.attach(inner, files)  # those that are in it stay
    client.attach(outer, [inner])
    assert {item.did: (item.kind, item.size) for item in client.members(inner)} == {
        files[0]: ("file", 1),
        files[1]: ("file", 2),
    }
    client.detach(inner, files[:1])
    assert [item.did for item in client.members(inner)] == files[1:]
    assert client.get(inner).kind == "dataset"
    assert client.known([inner])[inner].expires is not None
    assert {item.did.name for item in client.find(SCOPE, "client/*", "collection")} == {"client/inner", "client/outer"}
    client.set_metadata(inner, {"project": "flood"})
    assert client.metadata(inner)["project"] == "flood"
    assert client.has(outer) and not client.has(Did(SCOPE, "client/none"))
    with pytest.raises(Conflict):
        client.add_groups([(inner, "dataset", None)])


def test_rses_go_round(client):
    client.add_rse("GO-ROUND", deterministic=False)
    client.add_protocol("GO-ROUND", Protocol("davs", "dav.example.org", 443, "/data/"))
    client.set_attribute("GO-ROUND", "site", "round")
    client.set_attribute("GO-ROUND", "turning", True)
    found = client.rse("GO-ROUND")
    assert not found.deterministic
    assert found.protocols == (Protocol("davs", "dav.example.org", 443, "/data/"),)
    assert client.attributes("GO-ROUND")["turning"] is True
    assert client.rses("site=round&turning=True") == ["GO-ROUND"]
    assert {DISK, DAV, "GO-ROUND"} <= set(client.rses())
    with pytest.raises(InvalidInput, match="empty set"):
        client.rses("site=nowhere")
    with pytest.raises(InvalidInput, match="no way 'gopher'"):
        client.add_protocol("GO-ROUND", Protocol("gopher", "x", 0, "/"))


def test_rules_go_round(client):
    did = Did(SCOPE, "client/ruled")
    client.add_replicas(DISK, [did.body | {"bytes": 5, "adler32": "00000005"}])
    id = client.add_rule(did, 2, f"{DISK}|{DAV}", comment="two")
    rule = client.rule(id)
    assert (rule.state, rule.locks) == ("REPLICATING", (1, 1, 0))
    assert {item["rse"] for item in client.locks(id)} == {DISK, DAV}
    assert client.rules(SCOPE, did.name) == [rule]
    with pytest.raises(Conflict):
        client.add_rule(did, 2, f"{DISK}|{DAV}")
    client.remove_rule(id)
    assert client.rule(id).expires is not None
    with pytest.raises(NotFound):
        client.rule("0" * 32)


def test_a_token_that_the_server_no_longer_knows_is_replaced(stage, client):
    assert client.scopes()
    with contextlib.closing(sqlite3.connect(stage.server.home / "rucio.sqlite")) as database, database:
        database.execute("DELETE FROM tokens")
    assert SCOPE in client.scopes()


def test_a_wrong_password_is_said_and_shown_nowhere(stage, tmp_path):
    (tmp_path / "wrong").write_text("never-this-one")
    wrong = Rucio("rucio", options(stage, password=f"file:{tmp_path / 'wrong'}"))
    with contextlib.closing(wrong), pytest.raises(Unauthenticated, match="Cannot authenticate") as caught:
        wrong.scopes()
    assert "never-this-one" not in repr(caught.value.document())


def test_a_token_of_a_file_or_of_a_profile_will_do(stage, tmp_path, sqlite_url, home):
    password = stage.server.password.read_text()
    shown = {"X-Rucio-Account": "root", "X-Rucio-Username": "gemel", "X-Rucio-Password": password}
    token = httpx2.get(f"{stage.server.url}/auth/userpass", headers=shown).headers["X-Rucio-Auth-Token"]
    (tmp_path / "token").write_text(token)
    plain = {key: value for key, value in options(stage).items() if key not in ("user", "password")}
    with contextlib.closing(Rucio("rucio", plain | {"token": f"file:{tmp_path / 'token'}"})) as by_file:
        assert SCOPE in by_file.scopes()
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(contextlib.closing(open_store(sqlite_url)))
        broker = stack.enter_context(contextlib.closing(Broker(store, schema.metadata.tables, home)))
        broker.add("rucio", "static", {"token": f"file:{tmp_path / 'token'}"})
        source = broker.source("rucio", "rucio")
        by_profile = stack.enter_context(contextlib.closing(Rucio("rucio", plain | {"profile": "rucio"}, source)))
        assert SCOPE in by_profile.scopes()
        (tmp_path / "token").write_text("spoiled")
        with pytest.raises(Unauthenticated):
            by_profile.scopes()


def test_a_server_that_is_away_or_is_none_is_unavailable(stage, site):
    away = Rucio("rucio", options(stage, url=f"http://127.0.0.1:{free_port()}"))
    with contextlib.closing(away), pytest.raises(StoreUnavailable, match="cannot be reached"):
        away.scopes()
    site.routes["/auth/userpass"] = lambda _query, _body: (200, b"")
    strange = Rucio("rucio", options(stage, url=site.address))
    with contextlib.closing(strange), pytest.raises(StoreUnavailable, match="is no Rucio"):
        strange.scopes()


def test_a_server_that_says_nothing_is_not_waited_for(stage):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        hasty = Rucio("rucio", options(stage, url=address), patience=httpx2.Timeout(0.1))
        with contextlib.closing(hasty), pytest.raises(StoreUnavailable, match="in time"):
            hasty.scopes()


def test_answers_that_are_no_lines_of_json_are_refused(stage, tmp_path, site):
    (tmp_path / "token").write_text("any")
    plain = {key: value for key, value in options(stage, url=site.address).items() if key not in ("user", "password")}
    refusing = {"ExceptionClass": "RSENotFound", "ExceptionMessage": "in the middle"}
    with contextlib.closing(Rucio("rucio", plain | {"token": f"file:{tmp_path / 'token'}"})) as strange:
        for told, error in (
            (b"<html>", StoreUnavailable),
            (b"[1]\n", StoreUnavailable),
            (b"x" * 2_000_000, StoreUnavailable),
        ):
            site.routes["/rses/"] = lambda _query, _body, told=told: (200, told)
            with pytest.raises(error, match="is no Rucio"):
                strange.rses()
        site.routes["/rses/"] = lambda _query, _body: (200, refusing)
        with pytest.raises(NotFound, match="in the middle"):
            strange.rses()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("DataIdentifierNotFound", NotFound),
        ("AccountNotFound", NotFound),
        ("DuplicateRule", Conflict),
        ("DataIdentifierAlreadyExists", Conflict),
        ("ReplicaIsLocked", Conflict),
        ("AccessDenied", Denied),
        ("ScopeAccessDenied", Denied),
        ("CannotAuthenticate", Unauthenticated),
        ("InsufficientAccountLimit", StoreFull),
        ("RSEOverQuota", StoreFull),
        ("InvalidObject", InvalidInput),
        ("DatabaseException", StoreUnavailable),
        ("", StoreUnavailable),
    ],
)
def test_what_rucio_calls_an_error_is_one_of_ours(name: str, kind: type[GemelError]):
    error = refusal("rucio", 500, {"ExceptionClass": name, "ExceptionMessage": "because"})
    assert type(error) is kind
    assert "because" in error.message

"""Tokens of real issuers: client credentials, rotating refresh tokens, exchange between two of them."""

from __future__ import annotations

import concurrent.futures
import os
import stat
import time
from pathlib import Path

import pytest
import sqlalchemy as sql

from gemel.base.errors import ConfigInvalid, Conflict, Denied, GemelError, NotFound, StoreUnavailable, Unauthenticated
from gemel.infra.lake.tokens import Broker
from gemel.infra.lake.tokens._token import claims
from gemel.infra.store import schema

pytestmark = pytest.mark.slow
STORAGE = "https://storage.example"


def scope(token) -> str:
    return claims(token.value)["scope"]


def test_a_token_has_the_scope_of_its_operation_and_folder(broker, issuers) -> None:
    broker.add("robot", "client_credentials", issuers[0].options("robot", base="/data"))
    asked = {
        operation: broker.token("robot", "site", operation, "/data/rain/1988.nc") for operation in ("read", "write")
    }
    assert scope(asked["read"]) == "storage.read:/rain"
    assert set(scope(asked["write"]).split()) == {"storage.modify:/rain", "storage.create:/rain"}
    assert scope(broker.token("robot", "site", "delete", "/data/top.nc")) == "storage.modify:/"
    assert scope(broker.token("robot", "site", "read", "/data/snow and ice/x.nc")) == "storage.read:/snow%20and%20ice"
    claimed = claims(asked["read"].value)
    assert claimed["iss"] == issuers[0].url and claimed["aud"] == STORAGE


def test_a_path_cannot_ask_for_more(broker, issuers) -> None:
    broker.add("robot", "client_credentials", issuers[0].options("robot"))
    assert (
        scope(broker.token("robot", "site", "read", "/a storage.modify:/ b/x"))
        == "storage.read:/a%20storage.modify%3A/%20b"
    )


def test_each_token_is_asked_for_once_and_for_each_storage_operation_and_folder(broker, issuers) -> None:
    broker.add("robot", "client_credentials", issuers[0].options("robot"))
    before = issuers[0].given()
    first = broker.token("robot", "site", "read", "/rain/1.nc")
    assert broker.token("robot", "site", "read", "/rain/2.nc") == first
    assert issuers[0].given() == before + 1
    others = [
        broker.token("robot", "other", "read", "/rain/1.nc"),
        broker.token("robot", "site", "write", "/rain/1.nc"),
        broker.token("robot", "site", "read", "/snow/1.nc"),
    ]
    assert len({first.value, *(item.value for item in others)}) == 4
    assert issuers[0].given() == before + 4


def test_many_threads_share_one_request(broker, issuers) -> None:
    broker.add("robot", "client_credentials", issuers[0].options("robot"))
    before = issuers[0].given()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: broker.token("robot", "site", "read", "/rain/1.nc").value, range(64)))
    assert len(found) == 1 and issuers[0].given() == before + 1


def test_a_token_in_its_last_minute_is_not_handed_out_again(broker, issuers) -> None:
    # 61 s: good for one second in the cache; both ends of that second are tried without waiting for it.
    broker.add("minute", "client_credentials", issuers[0].options("robot", resource="https://minute.example"))
    first = broker.token("minute", "site", "read", "/rain/1.nc")
    assert 55 < first.expires - time.time() <= 61
    until = time.monotonic() + 30
    while (second := broker.token("minute", "site", "read", "/rain/1.nc")) == first:
        assert time.monotonic() < until
    assert second.expires > first.expires and time.time() > first.expires - 60.5


def test_a_token_that_ends_at_once_is_refused(broker, issuers) -> None:
    broker.add("brief", "client_credentials", issuers[0].options("robot", resource="https://brief.example"))
    with pytest.raises(Unauthenticated, match=r"'brief' \(storage 'site'\).*lasts for [0-5] s only"):
        broker.token("brief", "site", "read", "/rain/1.nc")


def test_a_token_that_lasts_or_the_word_that_there_is_none(broker, issuers) -> None:
    broker.add("robot", "client_credentials", issuers[0].options("robot"))
    short = broker.token("robot", "site", "read", "/rain/1.nc")
    assert broker.fresh("robot", "site", "read", "/rain/1.nc", 300) == short
    with pytest.raises(Denied, match=r"tokens for 5\d\d s, and 7200 s are wanted"):
        broker.fresh("robot", "site", "read", "/rain/1.nc", 7200)


def test_the_client_may_say_who_it_is_in_the_form(broker, issuers) -> None:
    broker.add("poster", "client_credentials", issuers[0].options("poster", auth="post"))
    assert scope(broker.token("poster", "site", "read", "/rain/1.nc")) == "storage.read:/rain"


def test_a_refresh_token_is_used_once_and_the_newest_survives(broker, store, home, issuers, tmp_path) -> None:
    first = tmp_path / "refresh"
    first.write_text(issuers[0].sign_in())
    broker.add("person", "refresh", issuers[0].options("person", refresh_token=f"file:{first}"))
    asked = {name: scope(broker.token("person", "site", name, "/rain/1.nc")) for name in ("read", "write", "delete")}
    assert asked["read"] == "storage.read:/rain" and asked["delete"] == "storage.modify:/rain"
    # Another engine, after a crash: nothing but the journal and the key are there.
    again = Broker(store, schema.metadata.tables, home)
    assert claims(again.token("person", "site", "read", "/rain/1.nc").value)["sub"] == "ada"
    again.close()
    assert first.read_text() not in _journal(home)


def test_refreshing_in_many_threads_loses_no_token(broker, store, home, issuers, tmp_path) -> None:
    first = tmp_path / "refresh"
    first.write_text(issuers[0].sign_in())
    broker.add("person", "refresh", issuers[0].options("person", refresh_token=f"file:{first}"))
    second = Broker(store, schema.metadata.tables, home)
    asked = [(which, storage) for storage in ("a", "b", "c", "d") for which in (broker, second)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        # Each asks under a key of its own; a refresh token that is used twice would end them all.
        tokens = list(pool.map(lambda item: item[0].token("person", item[1], "read", "/rain/1.nc").value, asked))
    assert len(set(tokens)) == 8
    second.close()


def test_a_refresh_token_of_a_new_sign_in_is_heeded(broker, issuers, tmp_path) -> None:
    first = tmp_path / "refresh"
    first.write_text(issuers[0].sign_in())
    broker.add("person", "refresh", issuers[0].options("person", refresh_token=f"file:{first}"))
    broker.token("person", "a", "read", "/rain/1.nc")
    first.write_text("revoked")
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        broker.token("person", "b", "read", "/rain/1.nc")
    first.write_text(issuers[0].sign_in())
    assert broker.token("person", "b", "read", "/rain/1.nc").value


def test_what_is_kept_is_sealed(broker, store, home, issuers, tmp_path) -> None:
    first = tmp_path / "refresh"
    first.write_text(issuers[0].sign_in())
    broker.add("person", "refresh", issuers[0].options("person", refresh_token=f"file:{first}"))
    broker.token("person", "a", "read", "/rain/1.nc")
    key = home / "keys" / "tokens.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and len(key.read_bytes()) == 32
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    table = schema.metadata.tables["token_secrets"]
    with store.read() as connection:
        row = connection.execute(sql.select(table)).mappings().one()
    assert row["profile"] == "person" and "newest" not in row["sealed"]
    # What another profile has sealed does not open.
    vault = broker._profiles._tools.vault
    assert vault.kept("person") is not None
    with store.write() as connection:
        connection.execute(sql.insert(table), {**row, "profile": "other"})
    assert vault.kept("other") is None
    broker.remove("person")
    assert vault.kept("person") is None


def test_a_damaged_key_is_named(broker, home, issuers, tmp_path) -> None:
    (home / "keys").mkdir()
    (home / "keys" / "tokens.key").write_bytes(b"short")
    first = tmp_path / "refresh"
    first.write_text(issuers[0].sign_in())
    broker.add("person", "refresh", issuers[0].options("person", refresh_token=f"file:{first}"))
    before = issuers[0].given()
    with pytest.raises(StoreUnavailable, match=r"tokens.key is damaged"):
        broker.token("person", "a", "read", "/rain/1.nc")
    # The token that is good for one use was not used up.
    assert issuers[0].given() == before
    (home / "keys" / "tokens.key").unlink()
    assert broker.token("person", "a", "read", "/rain/1.nc").value


def test_a_token_that_could_not_be_written_is_not_lost(broker, store, issuers, tmp_path) -> None:
    first = tmp_path / "refresh"
    first.write_text(issuers[0].sign_in())
    broker.add("person", "refresh", issuers[0].options("person", refresh_token=f"file:{first}"))
    with store.write() as connection:
        connection.execute(
            sql.text("CREATE TRIGGER full BEFORE INSERT ON token_secrets BEGIN SELECT RAISE(ABORT, 'no'); END")
        )
    with pytest.raises(sql.exc.IntegrityError):
        broker.token("person", "a", "read", "/rain/1.nc")
    with store.write() as connection:
        connection.execute(sql.text("DROP TRIGGER full"))
    assert broker.token("person", "a", "read", "/rain/1.nc").value
    again = broker._profiles._tools.vault.kept("person")
    assert again is not None and first.read_text() not in again


def test_one_issuers_token_is_exchanged_for_anothers(broker, issuers) -> None:
    ours, theirs = issuers
    broker.add("ours", "client_credentials", ours.options("robot"))
    broker.add("theirs", "exchange", theirs.options("exchanger", subject_profile="ours", resource=STORAGE))
    found = claims(broker.token("theirs", "site", "write", "/rain/1.nc").value)
    assert (found["iss"], found["origin"]) == (theirs.url, ours.url)
    assert set(found["scope"].split()) == {"storage.modify:/rain", "storage.create:/rain"}


def test_exchanges_can_be_chained(broker, issuers) -> None:
    ours, theirs = issuers
    broker.add("first", "client_credentials", ours.options("robot"))
    broker.add("second", "exchange", theirs.options("exchanger", subject_profile="first", resource=STORAGE))
    broker.add("third", "exchange", ours.options("exchanger", subject_profile="second", resource=STORAGE))
    found = claims(broker.token("third", "site", "read", "/rain/1.nc").value)
    assert (found["iss"], found["origin"]) == (ours.url, f"{ours.url} {theirs.url}")
    with pytest.raises(Conflict, match="profile 'second'"):
        broker.remove("first")


def test_a_token_that_is_not_trusted_is_not_exchanged(broker, issuers, tmp_path) -> None:
    (tmp_path / "token").write_text("abc.def.ghi")
    options = issuers[1].options("exchanger", subject_token=f"file:{tmp_path / 'token'}")
    broker.add("theirs", "exchange", options)
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        broker.token("theirs", "site", "read", "/rain/1.nc")


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"client_id": "nobody"}, Unauthenticated, "invalid_client"),
        ({"resource": "https://unknown.example"}, Denied, "invalid_target"),
        ({"client_id": "person"}, GemelError, "invalid_request"),
        ({"base": "/data"}, ConfigInvalid, "not below base"),
        ({"folder": "/snow"}, ConfigInvalid, "not below it"),
    ],
)
def test_what_the_issuer_denies_is_said_with_profile_and_storage(broker, issuers, changes, error, reason) -> None:
    broker.add("robot", "client_credentials", issuers[0].options("robot") | changes)
    with pytest.raises(error, match=rf"'robot' \(storage 'site'\).*{reason}"):
        broker.token("robot", "site", "read", "/rain/1.nc")


def test_the_folder_of_a_profile_stands_for_all_below_it(broker, issuers) -> None:
    broker.add("robot", "client_credentials", issuers[0].options("robot", folder="/data"))
    assert broker.token("robot", "site", "read", "/data/a/1") == broker.token("robot", "site", "read", "/data/b/c/2")


def test_an_address_that_describes_no_issuer_or_another(broker, issuers) -> None:
    options = issuers[0].options("robot")
    broker.add("nothing", "client_credentials", options | {"issuer": f"{issuers[0].url}/realm"})
    with pytest.raises(ConfigInvalid, match="no description of an issuer"):
        broker.token("nothing", "site", "read", "/rain/1.nc")
    broker.add("alias", "client_credentials", options | {"issuer": issuers[0].url.replace("127.0.0.1", "localhost")})
    with pytest.raises(ConfigInvalid, match="is not the issuer"):
        broker.token("alias", "site", "read", "/rain/1.nc")


def test_a_profile_added_anew_does_not_use_the_old_ones_tokens(broker, issuers) -> None:
    broker.add("robot", "client_credentials", issuers[0].options("robot"))
    old = broker.token("robot", "site", "read", "/rain/1.nc")
    broker.remove("robot")
    with pytest.raises(NotFound):
        broker.token("robot", "site", "read", "/rain/1.nc")
    broker.add("robot", "client_credentials", issuers[1].options("robot"))
    assert claims(broker.token("robot", "site", "read", "/rain/1.nc").value)["iss"] != claims(old.value)["iss"]


def _journal(home: Path) -> str:
    paths = [path for path in home.rglob("*") if path.is_file() and os.access(path, os.R_OK)]
    return "".join(path.read_bytes().decode("latin-1") for path in paths)

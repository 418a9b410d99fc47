"""Profiles are declared with references to secrets; tokens and macaroons that need no issuer."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sql
from crooked_server import JSON, answering, jwt

from gemel.base.errors import (
    ConfigInvalid,
    Conflict,
    Denied,
    InvalidInput,
    NotFound,
    Unauthenticated,
)
from gemel.infra.lake.tokens import Macaroon, Token
from gemel.infra.store import schema

KEY = bytes(range(64))


def at(seconds: float) -> str:
    return f"before:{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


class TestProfiles:
    def test_they_are_kept_listed_and_removed(self, broker, reference) -> None:
        options = {"token": reference("token", "abc")}
        made = broker.add("plain", "static", options)
        assert broker.list() == [made] == [broker.get("plain")]
        assert (made.kind, made.options) == ("static", options)
        broker.remove("plain")
        assert broker.list() == []
        with pytest.raises(NotFound, match="no token profile 'plain'"):
            broker.remove("plain")

    @pytest.mark.parametrize(
        ("name", "kind", "options", "reason"),
        [
            ("Upper", "static", {"token": "env:X"}, "is no name"),
            ("a/b", "static", {"token": "env:X"}, "is no name"),
            ("p", "statik", {"token": "env:X"}, "no kind 'statik'"),
            ("p", "static", {}, "needs the option 'token'"),
            ("p", "static", {"token": "in the clear"}, "where the secret is"),
            ("p", "static", {"token": "env:X", "scoop": "y"}, "has no option 'scoop'"),
            ("p", "macaroon", {}, "exactly one"),
            ("p", "macaroon", {"secret": "env:X"}, "go together"),
            ("p", "macaroon", {"secret": "env:X", "location": "a", "token": "env:Y"}, "exactly one"),
            ("p", "macaroon", {"secret": "env:X", "location": "a", "url": "https://a"}, "no server is asked"),
            ("p", "macaroon", {"token": "env:X", "url": "http://elsewhere.example"}, "not https"),
            ("p", "macaroon", {"token": "env:X", "seconds": "-5"}, "no number of seconds"),
            ("p", "macaroon", {"token": "env:X", "folder": "a/../b"}, "no path"),
            ("p", "client_credentials", {"client_id": "x"}, "exactly one"),
            ("p", "client_credentials", {"client_id": "x", "issuer": "http://elsewhere.example"}, "not https"),
            ("p", "client_credentials", {"client_id": "x", "issuer": "https://a:b@c.example"}, "no passwords"),
            ("p", "client_credentials", {"client_id": "x", "issuer": "https://c.example", "auth": "jwt"}, "'auth'"),
            ("p", "client_credentials", {"client_id": "x", "issuer": "https://c.example", "scope": "{x}"}, "{x}"),
            ("p", "refresh", {"client_id": "x", "issuer": "https://c.example"}, "refresh_token"),
            ("p", "exchange", {"client_id": "x", "issuer": "https://c.example"}, "exactly one"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, broker, name, kind, options, reason) -> None:
        with pytest.raises(InvalidInput, match=reason):
            broker.add(name, kind, options)
        assert broker.list() == []

    def test_a_name_is_given_once(self, broker) -> None:
        broker.add("p", "static", {"token": "env:X"})
        with pytest.raises(Conflict, match="already"):
            broker.add("p", "static", {"token": "env:Y"})

    def test_one_that_is_used_stays(self, broker, storages) -> None:
        broker.add("p", "static", {"token": "env:X"})
        storages.add("site", "http", {"url": "https://127.0.0.1:1/x", "profile": "p"})
        broker.add("narrow", "macaroon", {"profile": "p"})
        with pytest.raises(Conflict, match="used by profile 'narrow', storage 'site'"):
            broker.remove("p")
        storages.remove("site")
        broker.remove("narrow")
        broker.remove("p")

    def test_those_that_build_on_each_other_go_in_no_circle(self, broker, store) -> None:
        options = {"client_id": "x", "token_endpoint": "https://c.example"}
        with pytest.raises(NotFound, match="no token profile 'b'"):
            broker.add("a", "exchange", options | {"subject_profile": "b"})
        with pytest.raises(ConfigInvalid, match="builds on itself"):
            broker.add("a", "exchange", options | {"subject_profile": "a"})
        # A row that was written by hand, or by two engines at the same moment.
        table = schema.metadata.tables["token_profiles"]
        for name, other in (("a", "b"), ("b", "a")):
            text = json.dumps(options | {"subject_profile": other})
            with store.write() as connection:
                row = {"name": name, "kind": "exchange", "options": text, "created": 1.0}
                connection.execute(sql.insert(table), row)
        with pytest.raises(ConfigInvalid, match="a > b > a"):
            broker.token("a", "site", "read", "/x")


class TestStatic:
    def test_it_is_read_anew_each_time(self, broker, reference, monkeypatch) -> None:
        broker.add("p", "static", {"token": reference("token", "one")})
        assert broker.token("p", "s", "read", "/x") == Token("one")
        reference("token", "two")
        assert broker.token("p", "s", "read", "/x").value == "two"
        monkeypatch.setenv("LAKE_TOKEN", "three")
        broker.add("q", "static", {"token": "env:LAKE_TOKEN"})
        assert broker.token("q", "s", "write", "/x").value == "three"

    @pytest.mark.parametrize("text", ["", "two words", "line\nbreak", "ümlaut", "x" * 40_000])
    def test_what_cannot_be_a_token_is_refused(self, broker, reference, text) -> None:
        broker.add("p", "static", {"token": reference("token", text)})
        with pytest.raises(ConfigInvalid, match=r"'p' \(storage 's'\)") as caught:
            broker.token("p", "s", "read", "/x")
        assert not text or text not in caught.value.message

    def test_one_that_has_expired_is_said_to_have(self, broker, reference) -> None:
        broker.add("p", "static", {"token": reference("token", jwt(exp=time.time() - 5))})
        with pytest.raises(Unauthenticated, match="has expired"):
            broker.token("p", "s", "read", "/x")
        reference("token", Macaroon.mint(KEY, "", "1", [at(-5)]).text)
        with pytest.raises(Unauthenticated, match="has expired"):
            broker.token("p", "s", "read", "/x")

    def test_how_long_it_lasts_is_told_or_not_known(self, broker, reference) -> None:
        broker.add("p", "static", {"token": reference("token", jwt(exp=time.time() + 900))})
        assert broker.fresh("p", "s", "read", "/x", 800).value.startswith("eyJ")
        with pytest.raises(Denied, match=r"89\d s, and 1000 s are wanted"):
            broker.fresh("p", "s", "read", "/x", 1000)
        reference("token", "opaque")
        with pytest.raises(Denied, match="do not say how long"):
            broker.fresh("p", "s", "read", "/x", 1)

    @pytest.mark.parametrize("payload", [b"[]", b'"x"', b'{"exp": 1e999}', b'{"exp": true}', b"{" * 9000, b"\xff"])
    def test_a_token_that_only_looks_like_a_web_token_is_opaque(self, broker, reference, payload) -> None:
        middle = base64.urlsafe_b64encode(payload).decode().rstrip("=")
        broker.add("p", "static", {"token": reference("token", f"a.{middle}.c")})
        assert broker.token("p", "s", "read", "/x").expires is None

    @pytest.mark.parametrize("operation", ["", "READ", "list"])
    def test_an_unknown_operation_is_refused(self, broker, operation) -> None:
        with pytest.raises(InvalidInput, match="no operation"):
            broker.token("p", "s", operation, "/x")

    @pytest.mark.parametrize("path", ["/a/../b", "/a//b/c", "/a\\b", "/./a", "/a\0b"])
    def test_a_path_with_tricks_is_refused(self, broker, reference, path) -> None:
        broker.add("p", "static", {"token": reference("token", "x")})
        with pytest.raises(InvalidInput, match="no path"):
            broker.token("p", "s", "read", path)


class TestMacaroons:
    @pytest.fixture
    def minting(self, broker, reference) -> None:
        options = {"secret": reference("secret", base64.encodebytes(KEY).decode()), "location": "site-a"}
        broker.add("mint", "macaroon", options)

    @pytest.mark.parametrize(
        ("operation", "activities"),
        [
            ("read", "DOWNLOAD,READ_METADATA,LIST"),
            ("write", "UPLOAD,MANAGE,DELETE,READ_METADATA,LIST"),
            ("delete", "DELETE,READ_METADATA,LIST"),
        ],
    )
    def test_each_is_for_one_folder_and_what_is_done_there(self, broker, minting, operation, activities) -> None:
        token = broker.token("mint", "s", operation, "/private/rain/1988.nc")
        made = Macaroon.parse(token.value)
        assert made.verified(KEY) and made.location == "site-a"
        assert made.caveats[:3] == ("name:gemel", f"activity:{activities}", "path:/private/rain/")
        assert made.caveats[3].startswith("before:") and len(made.caveats) == 4
        assert token.expires == pytest.approx(time.time() + 3600, abs=2)

    def test_one_is_used_again_below_the_same_folder_only(self, broker, minting) -> None:
        first = broker.token("mint", "s", "read", "/a/1")
        assert broker.token("mint", "s", "read", "/a/2") is first
        assert broker.token("mint", "s", "read", "/a/b/2") is not first
        assert "path:/" in Macaroon.parse(broker.token("mint", "s", "read", "/1").value).caveats

    def test_one_lasts_as_long_as_is_wanted(self, broker, minting) -> None:
        assert broker.fresh("mint", "s", "read", "/a/1", 86_400).expires >= time.time() + 86_400

    def test_a_given_one_is_narrowed(self, broker, minting, reference) -> None:
        root = Macaroon.mint(KEY, "site-a", "1", ["activity:DOWNLOAD,LIST,READ_METADATA", "path:/private", at(500)])
        broker.add("narrow", "macaroon", {"token": reference("token", root.text)})
        token = broker.token("narrow", "s", "read", "/private/rain/1.nc")
        made = Macaroon.parse(token.value)
        assert made.verified(KEY) and made.caveats[:3] == root.caveats and "path:/private/rain/" in made.caveats[3:]
        assert token.expires == root.expires
        with pytest.raises(Denied, match="does not allow UPLOAD"):
            broker.token("narrow", "s", "write", "/private/rain/1.nc")
        with pytest.raises(Denied, match=r"49\d s|500 s"):
            broker.fresh("narrow", "s", "read", "/private/rain/1.nc", 3000)

    def test_another_profiles_is_narrowed(self, broker, minting) -> None:
        broker.add("narrow", "macaroon", {"profile": "mint", "seconds": "120"})
        token = broker.token("narrow", "s", "read", "/a/1")
        assert token.expires == pytest.approx(time.time() + 120, abs=2)
        assert Macaroon.parse(token.value).verified(KEY)

    def test_what_is_no_macaroon_is_said_to_be_none(self, broker, reference) -> None:
        broker.add("narrow", "macaroon", {"token": reference("token", "abcdef")})
        with pytest.raises(ConfigInvalid, match=r"'narrow' \(storage 's'\).*no macaroon"):
            broker.token("narrow", "s", "read", "/a/1")
        broker.add("mint", "macaroon", {"secret": reference("secret", "no base64!"), "location": "a"})
        with pytest.raises(ConfigInvalid, match="no base64"):
            broker.token("mint", "s", "read", "/a/1")

    def test_a_server_is_asked_where_the_folder_is(self, broker, crooked, reference) -> None:
        def answer(request, body):
            asked = json.loads(body)
            made = Macaroon.mint(KEY, "dcache", "1", [*asked["caveats"], f"path:{request.path}", at(100)])
            return 200, JSON, json.dumps({"macaroon": made.text}).encode()

        crooked.answer = answer
        broker.add("ask", "macaroon", {"url": crooked.url, "token": reference("token", "login"), "seconds": "300"})
        token = broker.token("ask", "s", "read", "/data/with blank/1.nc")
        method, path, headers, body = crooked.requests[0]
        assert (method, path, headers["Content-Type"]) == ("POST", "/data/with%20blank", "application/macaroon-request")
        assert headers["Authorization"] == "Bearer login" and json.loads(body)["validity"] == "PT300S"
        assert token.expires == pytest.approx(time.time() + 100, abs=2)

    @pytest.mark.parametrize("document", [{}, {"macaroon": 1}, {"macaroon": "x"}, {"macaroon": "a b"}])
    def test_a_server_that_gives_no_macaroon(self, broker, crooked, reference, document) -> None:
        crooked.answer = answering(document)
        broker.add("ask", "macaroon", {"url": crooked.url, "token": reference("token", "login")})
        with pytest.raises(ConfigInvalid, match=r"'ask' \(storage 's'\)"):
            broker.token("ask", "s", "read", "/x")

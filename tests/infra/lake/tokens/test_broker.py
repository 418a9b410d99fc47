"""Issuers that fail become one clear error each; what is asked of them; what storages do with tokens."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import io
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs

import pytest
from crooked_server import answering, given, jwt
from hypothesis import HealthCheck, settings
from hypothesis import given as given_hypothesis
from hypothesis import strategies as st

from gemel.base.errors import ConfigInvalid, Denied, GemelError, NotFound, StoreUnavailable, Unauthenticated
from gemel.infra.lake.storages import HttpStorage, Storages
from gemel.infra.lake.tokens import Broker, Macaroon, Token
from gemel.infra.store import schema

KEY = bytes(range(64))
JSON_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(10**400)


class TestIssuersThatFail:
    @pytest.mark.parametrize(
        ("code", "status", "error"),
        [
            ("invalid_client", 401, Unauthenticated),
            ("invalid_grant", 400, Unauthenticated),
            ("invalid_scope", 400, Denied),
            ("invalid_target", 400, Denied),
            ("unauthorized_client", 400, Denied),
            ("access_denied", 403, Denied),
            ("unsupported_grant_type", 400, ConfigInvalid),
            ("invalid_request", 400, ConfigInvalid),
            ("temporarily_unavailable", 503, StoreUnavailable),
        ],
    )
    def test_a_refusal_becomes_one_error(self, broker, crooked, client, code, status, error) -> None:
        crooked.answer = answering({"error": code, "error_description": "you sent s3cr3t&of=client"}, status)
        broker.add("p", "client_credentials", client)
        with pytest.raises(error, match=rf"'p' \(storage 's'\).*{code}") as caught:
            broker.token("p", "s", "read", "/x")
        assert type(caught.value) is error and "s3cr3t" not in str(caught.value.document())

    @pytest.mark.parametrize(
        ("status", "content", "error"),
        [
            (200, b"<html>log in</html>", StoreUnavailable),
            (200, b"", StoreUnavailable),
            (200, b"[]", StoreUnavailable),
            (200, b"[" * 100_000, StoreUnavailable),
            (200, b"{}", StoreUnavailable),
            (200, b'{"access_token": 5, "token_type": "Bearer"}', StoreUnavailable),
            (200, b'{"access_token": "two words", "token_type": "Bearer"}', StoreUnavailable),
            (200, b'{"access_token": "x", "token_type": "mac"}', StoreUnavailable),
            (200, b'{"access_token": "x", "token_type": ["Bearer"]}', StoreUnavailable),
            (200, b'{"access_token": "x", "expires_in": -1}', Unauthenticated),
            (200, b'{"access_token": "x", "expires_in": 3}', Unauthenticated),
            (200, b'{"access_token": "x", "scope": "openid"}', Denied),
            (200, b" " * (2 << 20), StoreUnavailable),
            (302, b"", ConfigInvalid),
            (404, b"", ConfigInvalid),
            (400, b"bad", StoreUnavailable),
            (401, b"", Unauthenticated),
            (403, b"", Denied),
            (500, b'{"error": ["x"]}', StoreUnavailable),
        ],
    )
    def test_nonsense_becomes_one_error(self, broker, crooked, client, status, content, error) -> None:
        crooked.answer = lambda request, body: (status, {"Location": "http://127.0.0.1:1/"}, content)
        broker.add("p", "client_credentials", client)
        with pytest.raises(error, match=r"'p' \(storage 's'\)") as caught:
            broker.token("p", "s", "read", "/x")
        assert type(caught.value) is error and len(crooked.requests) == 1

    def test_nobody_listens(self, broker, client) -> None:
        broker.add("p", "client_credentials", client | {"token_endpoint": "http://127.0.0.1:1/token"})
        with pytest.raises(StoreUnavailable, match=r"'p' \(storage 's'\): 127.0.0.1:1 cannot be reached"):
            broker.token("p", "s", "read", "/x")

    def test_a_connection_that_is_closed_without_a_word(self, broker, crooked, client) -> None:
        crooked.answer = lambda request, body: None
        broker.add("p", "client_credentials", client)
        with pytest.raises(StoreUnavailable, match="broke off"):
            broker.token("p", "s", "read", "/x")

    def test_one_that_hangs_is_given_up_once_for_all_who_wait(self, store, home, crooked, client) -> None:
        broker = Broker(store, schema.metadata.tables, home, patience=0.3)
        release, arrived = threading.Event(), threading.Barrier(8)

        def answer(request, body):
            release.wait(20)

        crooked.answer = answer
        broker.add("p", "client_credentials", client)

        def ask(_):
            arrived.wait(10)
            with pytest.raises(StoreUnavailable, match="does not answer in time"):
                broker.token("p", "s", "read", "/x")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(8)))
        release.set()
        # Those that came while the first waited share its failure; one or two may have come late on a busy machine.
        assert len(crooked.requests) < 8
        crooked.answer = given()
        assert broker.token("p", "s", "read", "/x").value == "opaque-value"
        broker.close()

    def test_the_time_of_the_issuer_counts_for_its_tokens(self, broker, crooked, client) -> None:
        # Its clock is a day behind: its tokens look expired, and are not.
        there = datetime.now(UTC) - timedelta(days=1)
        token = jwt(exp=there.timestamp() + 600)
        crooked.answer = answering(
            {"access_token": token, "token_type": "Bearer"}, Date=format_datetime(there, usegmt=True)
        )
        broker.add("p", "client_credentials", client)
        assert broker.token("p", "s", "read", "/x").expires == pytest.approx(time.time() + 600, abs=5)

    def test_the_earlier_of_two_ends_counts(self, broker, crooked, client) -> None:
        crooked.answer = given(jwt(exp=time.time() + 100))
        broker.add("p", "client_credentials", client)
        assert broker.token("p", "s", "read", "/x").expires == pytest.approx(time.time() + 100, abs=3)

    def test_a_token_of_unknown_life_is_used_once(self, broker, crooked, client) -> None:
        crooked.answer = answering({"access_token": "abc", "token_type": "bearer"})
        broker.add("p", "client_credentials", client)
        for _ in range(2):
            assert broker.token("p", "s", "read", "/x") == Token("abc")
        assert len(crooked.requests) == 2

    @given_hypothesis(st.recursive(JSON_VALUES, lambda inner: st.lists(inner, max_size=2), max_leaves=3), st.data())
    @settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_whatever_an_issuer_says_is_a_token_or_one_error(self, broker, crooked, client, value, data) -> None:
        names = ("access_token", "token_type", "expires_in", "scope", "refresh_token", "error")
        good = {"access_token": "abc", "token_type": "Bearer", "expires_in": 600}
        document = good | {data.draw(st.sampled_from(names)): value}
        crooked.answer = answering(document, data.draw(st.sampled_from((200, 201, 302, 400, 401, 404, 500))))
        if not broker.list():
            broker.add("p", "client_credentials", client)
        with contextlib.suppress(GemelError):
            # A storage of its own each time, since tokens are used again.
            token = broker.token("p", str(len(crooked.requests)), "read", "/x")
            assert token.value and token.value.isascii() and " " not in token.value

    def test_a_description_cannot_name_an_endpoint_in_the_clear(self, broker, crooked, client) -> None:
        del client["token_endpoint"]
        crooked.answer = answering({"issuer": crooked.url, "token_endpoint": "http://elsewhere.example/token"})
        broker.add("p", "client_credentials", client | {"issuer": crooked.url})
        with pytest.raises(ConfigInvalid, match="not https"):
            broker.token("p", "s", "read", "/x")

    def test_link_local_addresses_are_not_asked(self, broker, client) -> None:
        broker.add("p", "client_credentials", client | {"token_endpoint": "https://169.254.169.254/token"})
        with pytest.raises(Denied, match="not a host to read data from"):
            broker.token("p", "s", "read", "/x")


class TestRequests:
    def test_what_is_sent(self, broker, crooked, client) -> None:
        crooked.answer = given()
        more = {"audience": "https://a.example", "resource": "https://r.example", "scope": "openid x.{operation}"}
        broker.add("p", "client_credentials", client | more)
        broker.token("p", "s", "write", "/x")
        _, path, headers, body = crooked.requests[0]
        assert path == "/token" and parse_qs(body.decode()) == {
            "grant_type": ["client_credentials"],
            "audience": ["https://a.example"],
            "resource": ["https://r.example"],
            "scope": ["openid x.modify x.create"],
        }
        # RFC 6749, 2.3.1 with 4.6 of HTML 4: the form's encoding comes before base64.
        expected = base64.b64encode(b"robot:s3cr3t%26of%3Dclient").decode()
        assert headers["Authorization"] == f"Basic {expected}"

    def test_a_secret_in_the_form_and_a_client_without_one(self, broker, crooked, client) -> None:
        crooked.answer = given()
        broker.add("post", "client_credentials", client | {"auth": "post", "scope": ""})
        broker.token("post", "s", "read", "/x")
        del client["client_secret"]
        broker.add("public", "client_credentials", client)
        broker.token("public", "s", "read", "/x")
        forms = [parse_qs(body.decode()) for _, _, _, body in crooked.requests]
        assert forms[0]["client_secret"] == ["s3cr3t&of=client"] and "scope" not in forms[0]
        assert forms[1]["client_id"] == ["robot"] and "client_secret" not in forms[1]
        assert all("Authorization" not in headers for _, _, headers, _ in crooked.requests)

    def test_a_withdrawn_token_is_not_exchanged_twice(self, broker, crooked, client) -> None:
        numbers = iter("ab")

        def answer(request, body):
            form = parse_qs(body.decode())
            if "subject_token" not in form:
                return given(next(numbers))(request, body)
            if form["subject_token"] == ["b"]:
                return given("theirs")(request, body)
            return answering({"error": "invalid_grant"}, 400)(request, body)

        crooked.answer = answer
        broker.add("ours", "client_credentials", client)
        broker.add("theirs", "exchange", client | {"subject_profile": "ours"})
        with pytest.raises(Unauthenticated, match="invalid_grant"):
            broker.token("theirs", "s", "read", "/x")
        assert broker.token("theirs", "s", "read", "/x").value == "theirs"

    def test_an_exchange_as_keycloak_wants_it(self, broker, crooked, client, reference) -> None:
        crooked.answer = given(issued_token_type="urn:x", token_type="N_A")
        more = {"subject_token": reference("subject", "theirs"), "subject_issuer": "desp-oidc"}
        broker.add("p", "exchange", client | more | {"requested_token_type": "urn:y"})
        broker.token("p", "s", "read", "/x")
        form = parse_qs(crooked.requests[0][3].decode())
        assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
        assert (form["subject_token"], form["subject_issuer"]) == (["theirs"], ["desp-oidc"])
        assert form["subject_token_type"] == ["urn:ietf:params:oauth:token-type:access_token"]
        assert form["requested_token_type"] == ["urn:y"]


class TestStorages:
    """What a storage does with its profile, over a server that takes tokens and refuses them."""

    @pytest.fixture
    def minted(self, broker, reference) -> None:
        options = {"secret": reference("secret", base64.b64encode(KEY).decode()), "location": "site"}
        broker.add("p", "macaroon", options)

    def test_each_request_has_a_token_for_its_folder(self, broker, storages, minted, crooked) -> None:
        crooked.answer = lambda request, body: (200, {"Content-Length": "4"}, b"rain")
        storages.add("s", "http", {"url": f"{crooked.url}/base", "profile": "p"})
        assert storages.get("s").size("a b/1.nc") == 4
        caveats = Macaroon.parse(crooked.requests[0][2]["Authorization"].removeprefix("Bearer ")).caveats
        assert "path:/base/a b/" in caveats and "activity:DOWNLOAD,READ_METADATA,LIST" in caveats
        headers = storages.get("s").authorisation("write", "a b/1.nc")
        assert headers.keys() == {"Authorization"}
        assert "activity:UPLOAD" in str(Macaroon.parse(headers["Authorization"].removeprefix("Bearer ")).caveats)
        assert storages.get("s").signed("a b/1.nc", 60) is None

    def test_a_refused_token_is_renewed_once(self, storages, minted, crooked) -> None:
        storages.add("s", "http", {"url": crooked.url, "profile": "p"})
        storage, tokens = storages.get("s"), []

        def once(request, body):
            tokens.append(request.headers["Authorization"])
            return (401, {}, b"") if len(tokens) == 1 else (200, {}, b"rain")

        crooked.answer = once
        assert storage.size("1.nc") == 4 and len(set(tokens)) == 2
        assert storage.size("1.nc") == 4 and tokens[2] == tokens[1]
        tokens.clear()
        crooked.answer = lambda request, body: (401, {}, b"")
        crooked.requests.clear()
        with pytest.raises(Unauthenticated):
            storage.size("1.nc")
        assert len(crooked.requests) == 2

    def test_another_server_is_shown_no_token(self, storages, minted, crooked) -> None:
        storages.add("s", "http", {"url": "https://127.0.0.1:1/x", "profile": "p"})
        crooked.answer = lambda request, body: (401, {}, b"")
        with (
            pytest.raises(Unauthenticated),
            storages.get("s").ask("GET", "1.nc", url=f"{crooked.url}/1.nc"),
        ):
            pass
        assert len(crooked.requests) == 1 and "Authorization" not in crooked.requests[0][2]

    def test_a_new_token_that_is_forbidden_is_not_renewed(self, storages, minted, crooked) -> None:
        crooked.answer = lambda request, body: (403, {}, b"")
        storages.add("s", "http", {"url": crooked.url, "profile": "p"})
        with pytest.raises(Denied):
            storages.get("s").size("1.nc")
        assert len(crooked.requests) == 1

    def test_an_upload_is_sent_again_where_its_stream_can_go_back(self, storages, minted, crooked) -> None:
        """A server of WebDAV that refuses the first upload: what it then gets is whole."""
        storages.add("s", "webdav", {"url": crooked.url, "profile": "p"})
        bodies: list[bytes] = []

        def answer(request, body):
            if request.command == "PUT":
                bodies.append(body)
                return (401, {}, b"") if len(bodies) == 1 else (201, {}, b"")
            return 207 if request.command == "PROPFIND" else 201, {}, _listed(request.path, bodies)

        crooked.answer = answer
        stream = io.BytesIO(b"rain and snow")
        stream.seek(5)
        assert storages.get("s").write("1.nc", stream, 8) == 8
        assert bodies == [b"and snow", b"and snow"]
        bodies.clear()
        with pytest.raises(Unauthenticated):
            storages.get("s").write("1.nc", OneWay(b"and snow"), 8)
        assert bodies == [b"and snow"]
        assert storages.get("s").write("1.nc", OneWay(b"and snow"), 8) == 8

    def test_how_long_a_token_has_to_last_can_be_said(self, storages, minted, crooked) -> None:
        storages.add("s", "http", {"url": crooked.url, "profile": "p"})
        headers = storages.get("s").authorisation("read", "1.nc", seconds=20_000)
        assert Macaroon.parse(headers["Authorization"].removeprefix("Bearer ")).expires > time.time() + 20_000

    def test_a_token_that_cannot_be_renewed_is_sent_once(self, broker, storages, crooked, reference) -> None:
        broker.add("fixed", "static", {"token": reference("token", "abc")})
        crooked.answer = lambda request, body: (401, {}, b"")
        storages.add("s", "http", {"url": crooked.url, "profile": "fixed"})
        with pytest.raises(Unauthenticated):
            storages.get("s").size("1.nc")
        assert len(crooked.requests) == 1

    def test_declarations_that_cannot_be(self, broker, storages, minted, store, home) -> None:
        address = {"url": "https://127.0.0.1:1/x"}
        with pytest.raises(NotFound, match="no token profile 'q'"):
            storages.add("s", "webdav", address | {"profile": "q"})
        for more in ({"token": "env:X"}, {"user": "u", "password": "env:X"}):
            with pytest.raises(ConfigInvalid, match="cannot use its token profile"):
                storages.add("s", "webdav", address | {"profile": "p"} | more)
        with pytest.raises(ConfigInvalid, match="no option 'profile'"):
            storages.add("s", "local", {"folder": str(home), "profile": "p"})
        with pytest.raises(ConfigInvalid, match="no token broker"):
            Storages(store, schema.metadata.tables, home).add("s", "http", address | {"profile": "p"})
        with pytest.raises(ConfigInvalid, match="cannot use its token profile"):
            HttpStorage("s", address | {"profile": "p"})
        assert [item.name for item in storages.list()] == ["home"]

    def test_certificates_that_cannot_be_trusted(self, tmp_path) -> None:
        for ca, reason in ((tmp_path / "none.pem", "cannot be read"), (tmp_path, "under their hashes")):
            with pytest.raises(ConfigInvalid, match=reason):
                HttpStorage("s", {"url": "https://127.0.0.1:1/x", "ca": str(ca)})


class OneWay:
    """A stream that cannot go back."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)


def _listed(path: str, bodies: list[bytes]) -> bytes:
    if not bodies:
        return b""
    return (
        f'<multistatus xmlns="DAV:"><response><href>{path}</href><propstat><prop><resourcetype/>'
        f"<getcontentlength>{len(bodies[-1])}</getcontentlength></prop></propstat></response></multistatus>"
    ).encode()

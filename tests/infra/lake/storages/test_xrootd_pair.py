"""Two XRootD servers that copy from each other, each with tokens of its own authority: what the mover stands on."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import ssl
import subprocess
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from gemel.base.errors import Denied, StoreUnavailable, Unauthenticated
from gemel.infra.lake.storages import Storages
from gemel.infra.lake.tokens import Broker, Macaroon
from gemel.infra.store import Store, open_store, schema

pytestmark = pytest.mark.slow
CONTENT = os.urandom(3_000_000)
READ = "activity:DOWNLOAD,READ_METADATA,LIST"


@pytest.fixture(scope="module")
def web(xrootd_pair) -> Iterator[httpx2.Client]:
    trust = ssl.create_default_context(capath=xrootd_pair.authority.folder)
    # XRootD closes a connection after a refusal without saying that it will.
    limits = httpx2.Limits(max_keepalive_connections=0)
    with httpx2.Client(verify=trust, timeout=30.0, limits=limits) as client:
        yield client


def ends(seconds: float) -> str:
    return f"before:{datetime.now(UTC) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


def shown(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def source(xrootd_pair, web) -> str:
    """Return the address of a file at A."""
    address = f"{xrootd_pair.a.url}/source.bin"
    assert web.put(address, content=CONTENT, headers=shown(xrootd_pair.a.mint())).is_success
    return address


def test_each_takes_its_own_tokens_alone(xrootd_pair, web, source) -> None:
    ours, theirs = xrootd_pair.a.mint(), xrootd_pair.b.mint()
    assert web.get(source).status_code == 403
    answer = web.get(source, headers=shown(ours))
    assert answer.status_code == 200 and answer.content == CONTENT
    assert web.get(source, headers=shown(theirs)).status_code == 403
    at_b = f"{xrootd_pair.b.url}/theirs.bin"
    assert web.put(at_b, content=b"x", headers=shown(theirs)).is_success
    assert web.put(at_b, content=b"x", headers=shown(ours)).status_code == 403


def test_a_copy_is_pulled_with_a_token_for_each_end(xrootd_pair, web, source) -> None:
    headers = shown(xrootd_pair.b.mint()) | {"Source": source, "Credential": "none"}
    headers["TransferHeaderAuthorization"] = f"Bearer {xrootd_pair.a.mint()}"
    answer = web.request("COPY", f"{xrootd_pair.b.url}/pulled.bin", headers=headers)
    assert answer.status_code == 201 and answer.text.rstrip().splitlines()[-1] == "success: Created"
    assert (xrootd_pair.b.folder / "pulled.bin").read_bytes() == CONTENT


def test_a_copy_is_pushed_with_a_token_for_each_end(xrootd_pair, web, source) -> None:
    headers = shown(xrootd_pair.a.mint()) | {"Destination": f"{xrootd_pair.b.url}/pushed.bin", "Credential": "none"}
    headers["TransferHeaderAuthorization"] = f"Bearer {xrootd_pair.b.mint()}"
    answer = web.request("COPY", source, headers=headers)
    assert answer.status_code == 201 and answer.text.rstrip().splitlines()[-1] == "success: Created"
    assert (xrootd_pair.b.folder / "pushed.bin").read_bytes() == CONTENT


def test_a_copy_that_fails_says_created_all_the_same_and_leaves_an_empty_file(xrootd_pair, web, source) -> None:
    headers = shown(xrootd_pair.b.mint()) | {"Source": source, "Credential": "none"}
    answer = web.request("COPY", f"{xrootd_pair.b.url}/failed.bin", headers=headers)
    assert answer.status_code == 201
    assert answer.text.rstrip().splitlines()[-1].startswith("failure: Remote side failed with status code 403")
    assert (xrootd_pair.b.folder / "failed.bin").read_bytes() == b""


def test_a_copy_without_the_right_to_write_is_refused_at_once(xrootd_pair, web, source) -> None:
    headers = shown(xrootd_pair.a.mint()) | {"Source": source, "Credential": "none"}
    answer = web.request("COPY", f"{xrootd_pair.b.url}/never.bin", headers=headers)
    assert answer.status_code == 401 and not (xrootd_pair.b.folder / "never.bin").exists()


def test_each_tells_the_checksum(xrootd_pair, web, source) -> None:
    answer = web.head(source, headers=shown(xrootd_pair.a.mint()) | {"Want-Digest": "adler32"})
    assert answer.headers["Digest"] == f"adler32={zlib.adler32(CONTENT):08x}"


def test_the_server_takes_what_is_minted_and_narrowed_and_nothing_else(xrootd_pair, web, source) -> None:
    """The server's own C library is the judge of our macaroons."""
    site = xrootd_pair.a
    minted = Macaroon.parse(site.mint())

    def status(macaroon: Macaroon | str, address: str = source) -> int:
        text = macaroon if isinstance(macaroon, str) else macaroon.text
        return int(web.get(address, headers=shown(text)).status_code)

    assert status(minted) == 200
    assert status(minted.attenuated([READ])) == 200
    assert status(minted.attenuated(["path:/private", READ, ends(80_000)])) == 200
    # `macaroons.maxduration` is a day when nobody says otherwise, and holds for each end that a macaroon tells.
    assert status(minted.attenuated([ends(90_000)])) == 403
    for narrower in ("activity:UPLOAD", "path:/private/other", ends(-1)):
        assert status(minted.attenuated([narrower])) == 403, narrower
    # It compares paths letter by letter, so that a folder without its slash opens its neighbours too.
    assert status(minted.attenuated(["path:/private/sour"])) == 200
    assert status(minted.attenuated(["path:/private/sour/"])) == 403
    caveats = list(minted.caveats)
    forged = [
        Macaroon(minted.location, minted.identifier, tuple(caveats[:-1]), minted.signature),
        Macaroon(minted.location, minted.identifier, (*caveats, READ), minted.signature),
        Macaroon(minted.location, minted.identifier, minted.caveats, bytes(32)),
        Macaroon(minted.location, b"another", minted.caveats, minted.signature),
        Macaroon.mint(xrootd_pair.b.key, site.name, "1", caveats),
        # Its location is part of what XRootD asks, though it is not signed.
        Macaroon("site-b", minted.identifier, minted.caveats, minted.signature),
    ]
    assert [status(item) for item in forged] == [403] * len(forged)
    assert status(minted.text[:-4]) == 403


def test_a_macaroon_that_the_server_minted_is_ours_to_read(xrootd_pair, web) -> None:
    address = f"https://127.0.0.1:{xrootd_pair.a.port}/public"
    body = {"caveats": ["activity:LIST"], "validity": "PT10M"}
    answer = web.post(address, json=body, headers={"Content-Type": "application/macaroon-request"})
    made = Macaroon.parse(answer.json()["macaroon"])
    assert made.verified(xrootd_pair.a.key) and made.location == "site-a" and "path:/public" in made.caveats


@pytest.fixture
def store(sqlite_url) -> Iterator[Store]:
    with contextlib.closing(open_store(sqlite_url)) as opened:
        yield opened


@pytest.fixture
def broker(store, home) -> Iterator[Broker]:
    with contextlib.closing(Broker(store, schema.metadata.tables, home)) as made:
        yield made


@pytest.fixture
def storages(store, broker, home, xrootd_pair) -> Iterator[Storages]:
    """Yield the two servers as storages, each with a profile that mints with its own secret."""
    made = Storages(store, schema.metadata.tables, home, broker)
    for site in (xrootd_pair.a, xrootd_pair.b):
        broker.add(site.name, "macaroon", site.profile)
        options = {"url": site.url, "profile": site.name, "ca": str(xrootd_pair.authority.folder)}
        made.add(site.name, "webdav", options)
    yield made
    made.close()


def test_two_storages_of_two_authorities_at_once(storages, xrootd_pair) -> None:
    for name in ("site-a", "site-b"):
        storages.get(name).write("rain/1.nc", io.BytesIO(CONTENT), len(CONTENT))
        assert storages.get(name).digest("rain/1.nc", "adler32") == f"{zlib.adler32(CONTENT):08x}"
    with pytest.raises(StoreUnavailable, match="'site-a' cannot be reached"):
        xrootd_pair.a.kill()
        storages.get("site-a").size("rain/1.nc")
    assert storages.get("site-b").size("rain/1.nc") == len(CONTENT)
    xrootd_pair.a.start()
    with storages.get("site-a").open("rain/1.nc") as file:
        assert file.read() == CONTENT


def test_a_token_for_a_folder_opens_no_neighbour(storages, broker, xrootd_pair, web) -> None:
    storage = storages.get("site-a")
    for name in ("snow/1.nc", "snow2/1.nc"):
        storage.write(name, io.BytesIO(b"snow"), 4)
    token = broker.token("site-a", "site-a", "read", "/private/snow/1.nc").value
    found = [web.get(storage.url(name), headers=shown(token)).status_code for name in ("snow/1.nc", "snow2/1.nc")]
    assert found == [200, 403]


def test_the_headers_of_a_storage_serve_a_copy_between_servers(storages, xrootd_pair, web, source) -> None:
    target, origin = storages.get("site-b"), storages.get("site-a")
    handed = origin.authorisation("read", "source.bin")["Authorization"]
    headers = target.authorisation("write", "by headers.bin") | {"TransferHeaderAuthorization": handed}
    answer = web.request("COPY", target.url("by headers.bin"), headers=headers | {"Source": source})
    assert answer.text.rstrip().endswith("success: Created")
    assert (xrootd_pair.b.folder / "by headers.bin").read_bytes() == CONTENT
    # The token that A was shown reads in that folder, and does nothing else.
    assert web.get(source, headers={"Authorization": handed}).status_code == 200
    assert web.put(source, content=b"x", headers={"Authorization": handed}).status_code == 403
    assert web.delete(source, headers={"Authorization": handed}).status_code == 403


def test_a_token_of_the_other_authority_is_denied(storages, broker, xrootd_pair) -> None:
    options = {"url": xrootd_pair.a.url, "profile": "site-b", "ca": str(xrootd_pair.authority.file)}
    storages.add("crossed", "webdav", options)
    with pytest.raises((Denied, Unauthenticated)):
        storages.get("crossed").write("x", io.BytesIO(b"x"), 1)


def test_a_secret_that_was_changed_is_heeded_where_the_token_is_renewed(
    storages, xrootd_pair, tmp_path, broker
) -> None:
    """A token that XRootD no longer takes is given up once it has been in use for a while, though it says 403."""
    site, place = xrootd_pair.a, tmp_path / "secret"
    place.write_text(base64.b64encode(b"wrong").decode())
    broker.add("rotated", "macaroon", {"secret": f"file:{place}", "location": site.name})
    storages.add("rotated", "webdav", {"url": site.url, "profile": "rotated", "ca": str(xrootd_pair.authority.file)})
    storage = storages.get("rotated")
    with pytest.raises(Denied):
        storage.exists("rain/1.nc")
    place.write_text(base64.b64encode(site.key).decode())
    with pytest.raises(Denied):
        storage.exists("rain/1.nc")
    for slot in broker._slots.values():
        slot.made -= 61.0
    assert storage.exists("rain/1.nc") in (True, False)


def test_a_server_is_asked_for_a_macaroon_that_it_then_takes(broker, xrootd_pair, web, tmp_path) -> None:
    (tmp_path / "token").write_text(xrootd_pair.a.mint())
    url = f"https://127.0.0.1:{xrootd_pair.a.port}"
    options = {"url": url, "token": f"file:{tmp_path / 'token'}", "ca": str(xrootd_pair.authority.file)}
    broker.add("asked", "macaroon", options)
    (xrootd_pair.a.folder.parent / "public" / "open.txt").write_text("open")
    token = broker.token("asked", "site-a", "read", "/public/open.txt")
    made = Macaroon.parse(token.value)
    assert made.verified(xrootd_pair.a.key) and {"path:/public", "path:/public/"} <= set(made.caveats)
    assert web.get(f"{url}/public/open.txt", headers=shown(token.value)).text == "open"
    # XRootD 5.5 gives what the authenticated client may do, and looks at no bearer token when it is asked for one.
    with pytest.raises(Denied, match="does not allow DOWNLOAD"):
        broker.token("asked", "site-a", "read", "/private/x")


def test_curl_trusts_the_folder_of_certificates(xrootd_pair, source) -> None:
    """An outside client, with the folder under hashed names that grid software is given."""
    command = ["curl", "-sS", "--capath", str(xrootd_pair.authority.folder), "-H", "@-", "-o", "/dev/null"]
    header = f"Authorization: Bearer {xrootd_pair.a.mint()}"
    done = subprocess.run(
        [*command, "-w", "%{http_code}", source], input=header, capture_output=True, text=True, check=False
    )
    assert done.stdout == "200", done.stderr

"""Macaroons: minted here, narrowed anywhere, and worth what their caveats say and no more."""

from __future__ import annotations

import stat
import time
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_stage import Place

from gemel.base.errors import Denied, Unauthenticated
from gemel.faces.storage._places import Spot
from gemel.faces.storage._rights import ACTIVITIES, granted
from gemel.infra.lake.tokens import Macaroon

_MINT = {"Content-Type": "application/macaroon-request"}


def status(place: Place, token: str, method: str, path: str, **headers: str) -> int:
    with place.client(token) as client:
        return client.request(method, path, headers=headers, content=b"x" if method == "PUT" else None).status_code


def test_a_macaroon_opens_what_it_names_and_nothing_else(place: Place, owner: httpx2.Client) -> None:
    owner.put("/in/f", content=b"f")
    owner.put("/index", content=b"not below /in")
    token = place.macaroon("/in", "DOWNLOAD,LIST")
    assert status(place, token, "GET", "/in/f") == 200
    assert status(place, token, "HEAD", "/in/f") == 200
    assert status(place, token, "PROPFIND", "/in", Depth="1") == 207
    for method, path in (
        ("GET", "/index"),
        ("PROPFIND", "/"),
        ("PUT", "/in/new"),
        ("DELETE", "/in/f"),
        ("MKCOL", "/in/d"),
        ("PUT", "/in/f"),
        ("GET", "/in/../index"),
    ):
        assert status(place, token, method, path, Depth="1") in (400, 403), (method, path)
    assert status(place, token, "MOVE", "/in/f", Destination=f"{place.url}/in/g") == 403
    assert status(place, token, "COPY", "/in/f", Destination=f"{place.url}/in/g") == 403
    with place.serving.client(signed_in=False, Authorization=f"Bearer {token}") as elsewhere:
        assert elsewhere.get("/api/v1/twins").status_code == 401
        assert elsewhere.request("PROPFIND", "/dav/", headers={"Depth": "1"}).status_code == 403
    assert place.left() == ["in/f", "index"]


def test_who_may_upload_may_not_replace_nor_remove(place: Place, owner: httpx2.Client) -> None:
    token = place.macaroon("/", "UPLOAD")
    assert status(place, token, "PUT", "/new") == 201
    assert status(place, token, "PUT", "/new") == 403
    assert status(place, token, "GET", "/new") == 403 and status(place, token, "DELETE", "/new") == 403
    assert status(place, token, "HEAD", "/new") == 200
    assert status(place, place.macaroon("/", "UPLOAD,DELETE"), "PUT", "/new") == 204
    manager = place.macaroon("/", "MANAGE")
    assert status(place, manager, "MOVE", "/new", Destination=f"{place.url}/moved") == 201
    assert status(place, manager, "MKCOL", "/d") == 201
    owner.put("/other", content=b"kept")
    assert status(place, manager, "MOVE", "/moved", Destination=f"{place.url}/other") == 403
    assert owner.get("/other").content == b"kept"


def test_narrowing_needs_the_macaroon_alone_and_only_narrows(place: Place, owner: httpx2.Client) -> None:
    owner.put("/a/f", content=b"f")
    owner.put("/b/f", content=b"f")
    wide = place.macaroon("/", "DOWNLOAD,LIST")
    narrow = Macaroon.parse(wide).attenuated([f"path:/dav/{place.name}/a"]).text
    assert status(place, narrow, "GET", "/a/f") == 200 and status(place, narrow, "GET", "/b/f") == 403
    widened = Macaroon.parse(narrow).attenuated(["path:/dav", "activity:DOWNLOAD,UPLOAD,DELETE"]).text
    assert status(place, widened, "GET", "/b/f") == 403 and status(place, widened, "DELETE", "/a/f") == 403
    by_server = place.macaroon("/a", "DOWNLOAD", narrow)
    assert (
        status(place, by_server, "GET", "/a/f") == 200 and status(place, by_server, "PROPFIND", "/a", Depth="1") == 403
    )
    with place.client(narrow, **_MINT) as client:
        assert client.post("/b", json={"caveats": ["activity:DOWNLOAD"]}).status_code == 403
    wide_again = place.macaroon("/a", "DOWNLOAD,UPLOAD", narrow)
    assert status(place, wide_again, "PUT", "/a/new") == 403


def test_what_is_forged_cut_off_or_over_is_not_known(place: Place, owner: httpx2.Client) -> None:
    owner.put("/f", content=b"f")
    good = place.macaroon("/", "DOWNLOAD")
    past = f"before:{datetime.now(UTC) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    parsed = Macaroon.parse(good)
    forged = Macaroon.mint(b"another key of 32 bytes or more..", "gemel", "1", parsed.caveats).text
    stripped = Macaroon(parsed.location, parsed.identifier, parsed.caveats[:-1], parsed.signature).text
    over = parsed.attenuated([past]).text
    for token in (forged, stripped, over, good[:-3], "x", "AAAA", "Ü".encode().hex()):
        assert status(place, token, "GET", "/f") == 401, token
    for caveat in ("ip:10.0.0.0/8", "unheard", "before:tomorrow", "path:relative", "activity:NOTHING", "activity:"):
        assert status(place, parsed.attenuated([caveat]).text, "GET", "/f") == 403, caveat
    assert status(place, good, "GET", "/f") == 200


def test_requests_for_macaroons_that_make_no_sense_are_refused(place: Place) -> None:
    bodies = (b"{", b"[]", b"{}", b'{"caveats": "activity:LIST"}', b'{"caveats": ["activity:FLY"]}', b'{"caveats": [1]}',
              b'{"caveats": ["activity:LIST"], "validity": "10"}', b'{"caveats": ["activity:LIST"], "validity": "P1Y"}',
              b'{"caveats": ["activity:LIST"], "validity": "P900D"}', b'{"caveats": ["activity:LIST"], "validity": "PT0S"}',
              b'{"caveats": ["activity:LIST", "ip:1.2.3.4"]}', b'{"caveats": ["activity:LIST", "path:../x"]}',
              b'{"caveats": ["activity:LIST"], "validity": 10}')  # fmt: skip
    with place.client(**_MINT) as client:
        for body in bodies:
            assert client.post("/", content=body).status_code == 400, body
        assert client.post("/", content=b"x" * 20_000).status_code == 413
        assert client.post("/", content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    with place.serving.client(signed_in=False) as stranger:
        assert stranger.post(f"/dav/{place.name}/", json={}, headers=_MINT).status_code == 401


def test_the_key_is_kept_from_others_and_stays(place: Place) -> None:
    place.macaroon()
    key = place.serving.home / "keys" / "storage-element.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_text()
    place.macaroon()
    assert key.read_text() == before and len(bytes.fromhex(before)) == 32
    key.chmod(0o644)
    with place.client(**_MINT) as client:
        assert client.post("/", json={"caveats": ["activity:LIST"]}).status_code == 503
    key.chmod(0o600)


def test_a_signed_address_reads_one_file(place: Place, owner: httpx2.Client) -> None:
    from gemel.infra.access import SignedLinks

    owner.put("/f", content=b"f")
    query = SignedLinks(place.token).query(f"/dav/{place.name}/f", 60)
    with place.serving.client(signed_in=False) as stranger:
        assert stranger.get(f"/dav/{place.name}/f?{query}").content == b"f"
        assert stranger.get(f"/dav/{place.name}/g?{query}").status_code == 401
        assert stranger.put(f"/dav/{place.name}/f?{query}", content=b"x").status_code in (401, 403)
        assert stranger.delete(f"/dav/{place.name}/f?{query}").status_code in (401, 403)


@given(
    st.lists(st.lists(st.sampled_from(ACTIVITIES), max_size=4), min_size=1, max_size=4),
    st.lists(st.sampled_from(["/dav", "/dav/s", "/dav/s/a", "/dav/s/a/b", "/dav/s/ab"]), max_size=3),
    st.sampled_from(["", "a", "a/b", "a/b/c", "ab", "b"]),
)
def test_every_caveat_only_takes_away(activities: list[list[str]], paths: list[str], path: str) -> None:
    caveats = [f"activity:{','.join(item)}" for item in activities] + [f"path:{item}" for item in paths]
    grant = granted(Macaroon.mint(b"k" * 32, "x", "1", caveats))
    assert grant.activities == frozenset.intersection(*map(frozenset, activities))
    spot = Spot("s", path)
    inside = all(f"{spot.place}/".startswith(f"{item}/") for item in paths)
    for activity in ACTIVITIES:
        allowed = inside and (activity in grant.activities or (activity == "READ_METADATA" and bool(grant.activities)))
        try:
            grant.require(spot, activity)
        except Denied:
            assert not allowed
        else:
            assert allowed


def test_a_macaroon_ends_when_the_earliest_of_its_times_has_come() -> None:
    now = time.time()

    def instant(seconds: float) -> str:
        return f"before:{datetime.fromtimestamp(now + seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"

    assert granted(Macaroon.mint(b"k" * 32, "x", "1", ["activity:LIST", instant(60)])).activities == {"LIST"}
    with pytest.raises(Unauthenticated, match="over"):
        granted(Macaroon.mint(b"k" * 32, "x", "1", ["activity:LIST", instant(60), instant(-60)]))

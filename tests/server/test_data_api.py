"""The data lake over HTTP: what each route answers, and what it makes of bad input, broken lines and many clients at once."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from test_server_api import is_problem

from gemel.base.config import load_settings
from gemel.core.engine import Service, open_engine
from stage import PATIENCE, Serving, serving, until

DATA = "/api/v1/data"
RAIN = b"day,rain\n1,2.5\n2,0.0\n"
LARGEST = 5_000_000


@pytest.fixture(scope="module")
def lake_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield a server that keeps its lake, with a storage beside its own."""
    home = tmp_path_factory.mktemp("lake") / "home"
    settings = load_settings(home=home, assignments=[f"server.upload={LARGEST} B", "lake.pace=1 h"])
    with contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(settings))
        engine.serve()
        engine.storages.add("archive", "local", {"folder": str(home.parent / "archive")})
        yield stack.enter_context(serving(Service(engine)))


@pytest.fixture
def owner(lake_server: Serving) -> Iterator[httpx2.Client]:
    with lake_server.client() as client:
        yield client


def put(owner: httpx2.Client, name: str, content: bytes = RAIN, **query: str) -> dict:
    answer = owner.put(f"{DATA}/datasets/{quote(name)}/content", content=content, params=query)
    assert answer.status_code == 201, answer.text
    return answer.json()


def sha256(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def left_on_disk(server: Serving, name: str) -> list[Path]:
    return [path for path in (server.home / "data").rglob("*") if path.is_file() and name in str(path)]


# Datasets and their content


def test_a_file_is_sent_found_read_and_removed(owner):
    name = "fulda:rain 2020 ü.csv"
    about = {"metadata": '{"variable": "rain"}', "licence": "CC0-1.0", "lifetime": "30 d", "into": "fulda:all"}
    sent = owner.put(f"{DATA}/datasets/{quote(name)}/content", content=RAIN, params=about)
    assert sent.status_code == 201 and sent.json()["state"] == "verified" and sent.json()["expires"]
    assert sent.headers["location"] == f"{DATA}/datasets/{quote(name)}"
    assert owner.get(sent.headers["location"]).json() == sent.json()
    found = owner.get(f"{DATA}/datasets", params={"q": ["variable=rain", "licence=CC0-1.0"]}).json()["datasets"]
    assert [item["name"] for item in found] == [name]
    assert owner.get(f"{DATA}/datasets/fulda:all").json()["members"] == [name]
    content = owner.get(f"{sent.headers['location']}/content")
    assert content.content == RAIN and content.headers["repr-digest"] == sha256(RAIN)
    assert content.headers["etag"] == sent.headers["etag"] == f'"{hashlib.sha256(RAIN).hexdigest()}"'
    assert content.headers["content-type"] == "application/octet-stream"
    assert quote("rain 2020 ü.csv") in content.headers["content-disposition"]
    assert owner.delete(sent.headers["location"]).status_code == 204
    is_problem(owner.get(sent.headers["location"]), 404, "not-found")


def test_pages_of_names_go_on_where_the_last_one_ended(owner):
    for number in range(5):
        put(owner, f"pages:{number}")
    names: list[str] = []
    after = None
    while True:
        query = {"q": "pages:", "limit": 2} | ({"after": after} if after else {})
        page = [item["name"] for item in owner.get(f"{DATA}/datasets", params=query).json()["datasets"]]
        names += page
        if len(page) < 2:
            break
        after = page[-1]
    assert names == [f"pages:{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, None),
        ("bytes=-4", -4, None),
        ("bytes=3-9999", 3, None),
        ("BYTES=2-5", 2, 6),
    ],
)
def test_a_range_is_the_bytes_it_names(owner, asked, start, stop):
    with contextlib.suppress(AssertionError):
        put(owner, "ranges:a")
    answer = owner.get(f"{DATA}/datasets/ranges:a/content", headers={"Range": asked})
    assert answer.status_code == 206 and answer.content == RAIN[start:stop]
    first = start % len(RAIN)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(RAIN)}"
    assert answer.headers["repr-digest"] == sha256(RAIN), "the digest is of the whole, RFC 9530"


def test_ranges_that_are_none_and_conditions(owner):
    put(owner, "ranges:b")
    put(owner, "ranges:empty", b"")
    place = f"{DATA}/datasets/ranges:b/content"
    for header in ("bytes=5-2", "bytes=-", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=" + "9" * 30 + "-"):
        assert owner.get(place, headers={"Range": header}).status_code == 200, header
    for where, header in (
        (place, f"bytes={len(RAIN)}-"),
        (place, "bytes=-0"),
        (f"{DATA}/datasets/ranges:empty/content", "bytes=0-"),
    ):
        answer = owner.get(where, headers={"Range": header})
        is_problem(answer, 416, "input.out-of-bounds")
        assert answer.headers["content-range"].startswith("bytes */")
    tag = owner.head(place).headers["etag"]
    assert owner.head(place).headers["content-length"] == str(len(RAIN)) and owner.head(place).content == b""
    assert owner.get(place, headers={"If-None-Match": tag}).status_code == 304
    assert owner.get(place, headers={"If-None-Match": '"other"'}).status_code == 200
    is_problem(owner.get(place, headers={"If-Match": '"other"'}), 412, "input.invalid")
    assert owner.get(place, headers={"Range": "bytes=0-1", "If-Range": tag}).status_code == 206
    assert owner.get(place, headers={"Range": "bytes=0-1", "If-Range": '"other"'}).content == RAIN
    assert owner.get(f"{DATA}/datasets/ranges:empty/content").content == b""


@pytest.mark.parametrize("header", ["Content-Digest", "Repr-Digest"])
def test_digests_that_are_sent_are_compared(owner, lake_server, header):
    place = f"{DATA}/datasets/digests:{header.lower()}/content"
    wrong = is_problem(owner.put(place, content=RAIN, headers={header: sha256(b"snow")}), 400, "store.corrupt")
    assert wrong["context"]["expected"] == hashlib.sha256(b"snow").hexdigest()
    is_problem(owner.get(place), 404, "not-found")
    for text in ("sha-256=:AAAA:", "sha-256=:###:", "sha-256", "sha-256=abc"):
        is_problem(owner.put(place, content=RAIN, headers={header: text}), 400, "input.invalid")
    assert not left_on_disk(lake_server, f"digests/{header.lower()}")
    told = f"sha-512=:AAAA:, {sha256(RAIN)}, md5=:{base64.b64encode(hashlib.md5(RAIN).digest()).decode()}:"
    record = owner.put(place, content=RAIN, headers={header: told}).json()
    assert record["digests"]["sha256"]["origin"] == "given" and record["digests"]["md5"]["confirmed"]


def test_contradictions_and_encodings_of_what_is_sent_are_refused(owner):
    place = f"{DATA}/datasets/refused:a/content"
    two = {"Content-Digest": sha256(RAIN), "Repr-Digest": sha256(b"snow")}
    is_problem(owner.put(place, content=RAIN, headers=two), 400, "input.invalid")
    is_problem(owner.put(place, content=RAIN, params={"digest": "crc32:00"}), 400, "input.invalid")
    is_problem(owner.put(place, content=RAIN, headers={"Content-Encoding": "gzip"}), 415, "input.invalid")
    is_problem(owner.put(place, content=RAIN, headers={"Content-Range": "bytes 0-3/9"}), 400, "input.invalid")
    for query in (
        {"metadata": "[1]"}, {"metadata": "{"}, {"metadata": '{"a": NaN}'}, {"lifetime": "soon"},
        {"lifetime": "99999999999999 d"}, {"into": "no name"}, {"frob": "1"}, {"licence": "a\nb"},
    ):  # fmt: skip
        is_problem(owner.put(place, content=RAIN, params=query), 400, is_problem_code(query))
    is_problem(owner.put(place, content=RAIN, params={"storage": "archve"}), 404, "not-found")
    assert not owner.get(f"{DATA}/datasets", params={"q": "refused:"}).json()["datasets"]


def is_problem_code(query: dict[str, str]) -> str:
    return "input.out-of-bounds" if "99999" in query.get("lifetime", "") else "input.invalid"


def test_the_largest_upload_is_the_one_that_is_set(owner, lake_server):
    place = f"{DATA}/datasets/large:a/content"
    content = os.urandom(LARGEST + 1)
    is_problem(owner.put(place, content=content), 413, "input.out-of-bounds")
    pieces = (content[start : start + 65536] for start in range(0, len(content), 65536))
    is_problem(owner.put(place, content=pieces), 413, "input.out-of-bounds")
    assert not left_on_disk(lake_server, "large/")
    sent = (content[start : start + 65536] for start in range(0, LARGEST, 65536))
    kept = owner.put(
        place, content=(piece[: LARGEST - 76 * 65536] if n == 76 else piece for n, piece in enumerate(sent))
    )
    assert kept.status_code == 201 and kept.json()["size"] == LARGEST
    assert owner.get(place).content == content[:LARGEST]


def test_an_upload_that_breaks_off_leaves_nothing(owner, lake_server):
    host, port = lake_server.url.removeprefix("http://").split(":")
    head = f"PUT {DATA}/datasets/broken:a/content HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {lake_server.token}\r\n"
    with socket.create_connection((host, int(port))) as line:
        line.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + bytes(500_000))
        until(lambda: left_on_disk(lake_server, "broken/"))
    until(lambda: not left_on_disk(lake_server, "broken/"))
    is_problem(owner.get(f"{DATA}/datasets/broken:a"), 404, "not-found")
    put(owner, "broken:a")


def test_of_clients_that_send_one_name_at_once_one_wins(lake_server, owner):
    contents = [os.urandom(300_000) for _ in range(6)]
    together = threading.Barrier(len(contents), timeout=PATIENCE)

    def send(content: bytes) -> httpx2.Response:
        with lake_server.client() as client:
            together.wait()
            return client.put(f"{DATA}/datasets/race:a/content", content=content)

    with ThreadPoolExecutor(len(contents)) as pool:
        answers = list(pool.map(send, contents))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] + [409] * (len(contents) - 1)
    winner = contents[[answer.status_code for answer in answers].index(201)]
    assert owner.get(f"{DATA}/datasets/race:a/content").content == winner
    assert len(left_on_disk(lake_server, "race/")) == 1


def test_damaged_content_never_arrives_whole(owner, lake_server):
    content = os.urandom(2_000_000)
    record = put(owner, "damaged:a", content)
    path = lake_server.home / "data" / record["replicas"][0]["path"]
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    place = f"{DATA}/datasets/damaged:a/content"
    with pytest.raises(httpx2.HTTPError):
        owner.get(place)
    assert owner.get(f"{DATA}/datasets/damaged:a").json()["replicas"][0]["state"] == "bad"
    is_problem(owner.get(place), 500, "store.corrupt")
    is_problem(owner.get(place, headers={"Range": "bytes=0-9"}), 500, "store.corrupt")
    path.write_bytes(content)
    assert owner.get(place).content == content


def test_what_a_file_holds_is_described(owner):
    put(owner, "described:rain.csv")
    found = owner.get(f"{DATA}/datasets/described:rain.csv/description", params={"rows": 1}).json()
    assert found["columns"] == [{"name": "day", "type": "int64"}, {"name": "rain", "type": "float64"}]
    assert found["rows"] == 2 and found["preview"] == [{"day": 1, "rain": 2.5}] and found["type"] == "DataFrame"
    place = f"{DATA}/datasets/described:rain.csv/description"
    assert owner.get(place, params={"options": '{"format": "CSV"}'}).status_code == 200
    for query in ({"options": "[]"}, {"rows": -1}, {"frob": 1}):
        is_problem(owner.get(place, params=query), 400, "input.invalid")
    assert owner.get(place, params={"options": '{"format": "Frob"}'}).status_code in (400, 422)


def test_groups_and_registration(owner, lake_server):
    folder = lake_server.home.parent / "archive" / "old"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.txt").write_text("b")
    given = owner.post(f"{DATA}/datasets", json={"name": "old:one", "storage": "archive", "path": "old/a.txt"})
    assert given.status_code == 201 and given.json()["state"] == "unverified" and given.json()["size"] == 1
    place = f"{DATA}/storages/archive/registrations"
    found = owner.post(place, json={"scope": "old", "folder": "old/", "into": "old:all", "licence": "MIT"}).json()
    assert found == {"registered": ["old:a.txt", "old:deep.b.txt"]}
    assert owner.post(place, json={"scope": "old", "folder": "old/"}).json() == {"registered": []}
    assert owner.get(f"{DATA}/datasets/old:all").json()["members"] == ["old:a.txt", "old:deep.b.txt"]
    assert owner.get(f"{DATA}/datasets/old:a.txt/content").content == b"a"
    assert owner.get(f"{DATA}/datasets/old:a.txt").json()["state"] == "verified"
    boxed = owner.post(f"{DATA}/datasets/old:box/members", json={"members": ["old:all"], "kind": "container"})
    assert boxed.status_code == 200 and boxed.json()["kind"] == "container"
    is_problem(owner.get(f"{DATA}/datasets/old:all/content"), 400, "input.invalid")
    is_problem(owner.post(f"{DATA}/datasets/old:box/members", json={"members": ["old:box"]}), 400, "input.invalid")
    is_problem(owner.post(place, json={"scope": "old", "folder": "../home"}), 400, "input.invalid")
    for path in ("../home/token", "/etc/passwd", "old//a.txt", "old/../old/a.txt", ""):
        body = {"name": "old:trick", "storage": "archive", "path": path}
        is_problem(owner.post(f"{DATA}/datasets", json=body), 400, "input.invalid")


TRICKS = [
    "nocolon",
    "a:..",
    "a:.",
    ":x",
    "a:",
    "A:x",
    "a:b:c",
    "a: x",
    "a:x*",
    "a:" + "x" * 300,
    "a:x\u202e",
    "ä:x",
    "a:\n",
]


@pytest.mark.parametrize("name", TRICKS)
def test_what_is_no_name_is_refused_everywhere(owner, name):
    place = f"{DATA}/datasets/{quote(name, safe='')}"
    is_problem(owner.get(place), 400, "input.invalid")
    is_problem(owner.delete(place), 400, "input.invalid")
    is_problem(owner.get(f"{place}/content"), 400, "input.invalid")
    is_problem(owner.put(f"{place}/content", content=b"x"), 400, "input.invalid")
    is_problem(owner.post(f"{place}/members", json={"members": ["a:x"]}), 400, "input.invalid")
    is_problem(owner.post(f"{DATA}/verify", json={"names": [name]}), 400, "input.invalid")
    is_problem(owner.post(f"{DATA}/transfers", json={"names": [name], "storage": "archive"}), 400, "input.invalid")
    is_problem(owner.post(f"{DATA}/rules", json={"name": name, "copies": 1}), 400, "input.invalid")


@pytest.mark.parametrize("path", ["a:b%2Fc", "a:b/c", "..%2f..%2fetc", "%2e%2e/x", "a:%00", "a:%ff"])
def test_paths_that_play_tricks_lead_nowhere(owner, path):
    for suffix in ("", "/content"):
        assert owner.get(f"{DATA}/datasets/{path}{suffix}").status_code in (400, 404)
    assert owner.put(f"{DATA}/datasets/{path}/content", content=b"x").status_code in (400, 404, 405)


def test_accents_are_one_name_however_they_are_composed(owner):
    put(owner, "accents:u\u0308ber.txt")
    assert owner.get(f"{DATA}/datasets/{quote('accents:über.txt')}").status_code == 200


# Transfers


def test_a_copy_is_requested_followed_and_told(owner):
    put(owner, "moving:a")
    asked = owner.post(f"{DATA}/transfers?wait=30", json={"names": ["moving:a"], "storage": "archive", "priority": 7})
    assert asked.status_code == 201
    (transfer,) = asked.json()["transfers"]
    assert transfer["state"] == "done" and transfer["priority"] == 7 and transfer["way"] == "stream"
    assert owner.get(f"{DATA}/transfers/{transfer['id']}").json() == transfer
    for query in ({"name": "moving:a"}, {"id": transfer["id"]}, {"state": "done", "name": "moving:a"}):
        assert owner.get(f"{DATA}/transfers", params=query).json() == {"transfers": [transfer]}
    assert owner.get(f"{DATA}/transfers", params={"state": "failed", "name": "moving:a"}).json() == {"transfers": []}
    assert owner.post(f"{DATA}/transfers/{transfer['id']}/cancel").json()["state"] == "done", "over is over"
    places = [item["storage"] for item in owner.get(f"{DATA}/datasets/moving:a").json()["replicas"]]
    assert sorted(places) == ["archive", "home"]
    moved = owner.post(f"{DATA}/transfers?wait=30", json={"names": ["moving:a"], "storage": "archive", "only": True})
    assert moved.json()["transfers"][0]["state"] == "done"
    assert [item["storage"] for item in owner.get(f"{DATA}/datasets/moving:a").json()["replicas"]] == ["archive"]


def test_a_failed_transfer_tells_why(owner, lake_server):
    record = put(owner, "moving:gone")
    (lake_server.home / "data" / record["replicas"][0]["path"]).unlink()
    asked = owner.post(f"{DATA}/transfers?wait=30", json={"names": ["moving:gone"], "storage": "archive"})
    (transfer,) = asked.json()["transfers"]
    assert transfer["state"] == "failed" and transfer["error"]["code"] == "not-found"


# Keeping


def test_storages_are_declared_changed_and_removed(owner, tmp_path):
    body = {
        "name": "shelf",
        "kind": "local",
        "options": {"folder": str(tmp_path)},
        "site": "kiel",
        "tags": ["disk"],
        "quota": 10,
    }
    made = owner.post(f"{DATA}/storages", json=body)
    assert made.status_code == 201 and made.headers["location"] == f"{DATA}/storages/shelf"
    assert made.json() == body | {"used": 0}
    put(owner, "shelf:a")
    asked = owner.post(f"{DATA}/transfers", json={"names": ["shelf:a"], "storage": "shelf"}).json()["transfers"][0]
    until(lambda: owner.get(f"{DATA}/transfers/{asked['id']}").json()["error"])
    full = owner.get(f"{DATA}/transfers/{asked['id']}").json()
    assert full["error"]["code"] == "store.full"
    owner.post(f"{DATA}/transfers/{full['id']}/cancel")
    is_problem(owner.put(f"{DATA}/datasets/shelf:b/content?storage=shelf", content=RAIN), 507, "store.full")
    changed = owner.patch(f"{DATA}/storages/shelf", json={"quota": None, "tags": []}).json()
    assert (changed["quota"], changed["tags"], changed["site"]) == (None, [], "kiel")
    assert owner.patch(f"{DATA}/storages/shelf", json={}).json() == changed
    put(owner, "shelf:b", storage="shelf")
    is_problem(owner.delete(f"{DATA}/storages/shelf"), 409, "conflict")
    owner.delete(f"{DATA}/datasets/shelf:b")
    assert owner.delete(f"{DATA}/storages/shelf").status_code == 204
    is_problem(owner.get(f"{DATA}/storages/shelf"), 404, "not-found")


def test_a_storage_that_cannot_stand_as_said_is_not_declared(owner, tmp_path):
    body = {"name": "crooked", "kind": "local", "options": {"folder": str(tmp_path)}, "site": "not a word"}
    is_problem(owner.post(f"{DATA}/storages", json=body), 400, "input.invalid")
    is_problem(owner.get(f"{DATA}/storages/crooked"), 404, "not-found")


def test_secrets_are_shown_as_references_and_tokens_not_at_all(owner, monkeypatch):
    monkeypatch.setenv("KIEL_TOKEN", "very-secret-token")
    profile = {"name": "kiel", "kind": "static", "options": {"token": "env:KIEL_TOKEN"}}
    assert owner.post(f"{DATA}/tokens", json=profile).status_code == 201
    dav = {"name": "dav", "kind": "webdav", "options": {"url": "http://127.0.0.1:9/dav", "profile": "kiel"}}
    assert owner.post(f"{DATA}/storages", json=dav).json()["options"] == dav["options"]
    tried = owner.post(f"{DATA}/tokens/try", json={"storage": "dav", "operation": "write", "path": "2019/a b.nc"})
    assert tried.json() == {
        "storage": "dav", "profile": "kiel", "operation": "write", "path": "2019/a b.nc", "worked": True, "expires": None,
    }  # fmt: skip
    assert owner.post(f"{DATA}/tokens/try", json={"storage": "dav", "operation": "read"}).json()["worked"]
    said = [owner.get(f"{DATA}/{what}").text for what in ("tokens", "storages")] + [tried.text]
    assert not any("very-secret-token" in text for text in said)
    is_problem(owner.post(f"{DATA}/tokens/try", json={"storage": "dav", "operation": "frob"}), 400, "input.invalid")
    is_problem(owner.post(f"{DATA}/tokens/try", json={"storage": "home", "operation": "read"}), 400, "config.invalid")
    open_secret = profile | {"name": "open", "options": {"token": "very-secret-token"}}
    refused = owner.post(f"{DATA}/tokens", json=open_secret)
    is_problem(refused, 400, "config.invalid")
    assert "very-secret-token" not in refused.text
    is_problem(owner.delete(f"{DATA}/tokens/kiel"), 409, "conflict")
    assert owner.delete(f"{DATA}/storages/dav").status_code == 204
    assert owner.delete(f"{DATA}/tokens/kiel").status_code == 204
    is_problem(owner.delete(f"{DATA}/tokens/kiel"), 404, "not-found")


def test_a_rule_brings_the_copies_it_asks_for(owner):
    put(owner, "ruled:a")
    made = owner.post(f"{DATA}/rules", json={"name": "ruled:a", "copies": 2, "lifetime": "30 d", "apart": False})
    assert made.status_code == 201 and made.json()["state"] == "new" and made.json()["expires"]
    round = owner.post(f"{DATA}/rounds").json()
    assert round["rules"][made.json()["id"]] == "copying" and round["requested"] == 1
    until(lambda: len(owner.get(f"{DATA}/datasets/ruled:a").json()["replicas"]) == 2)
    assert owner.post(f"{DATA}/rounds").json()["rules"][made.json()["id"]] == "ok"
    assert [item["id"] for item in owner.get(f"{DATA}/rules", params={"name": "ruled:a"}).json()["rules"]] == [
        made.json()["id"]
    ]
    assert owner.post(f"{DATA}/storages/archive/reclaim", json={"bytes": 10**12}).json()["reclaimed"] is not None
    assert len(owner.get(f"{DATA}/datasets/ruled:a").json()["replicas"]) == 2, "a rule needs them"
    assert owner.delete(made.headers["location"]).status_code == 204
    freed = owner.post(f"{DATA}/storages/archive/reclaim").json()["reclaimed"]
    assert "ruled:a" in [item["name"] for item in freed]
    is_problem(owner.get(made.headers["location"]), 404, "not-found")
    is_problem(owner.post(f"{DATA}/rules", json={"name": "a:b", "copies": 1, "storages": ["archve"]}), 404, "not-found")


def test_watches_register_what_arrives_once(owner, lake_server):
    inbox = lake_server.home.parent / "archive" / "inbox"
    inbox.mkdir(parents=True)
    arrived = inbox / "a.txt"
    arrived.write_text("a")
    os.utime(arrived, (1_000_000_000, 1_000_000_000))
    watch = owner.post(
        f"{DATA}/watches", json={"storage": "archive", "folder": "inbox/", "scope": "inbox", "pattern": "*.txt"}
    )
    assert watch.status_code == 201
    assert owner.post(f"{DATA}/watches/scan").json() == {"registered": ["inbox:a.txt"]}
    assert owner.post(f"{DATA}/watches/scan").json() == {"registered": []}
    assert owner.get(f"{DATA}/watches").json()["watches"][0]["scanned"]
    is_problem(owner.post(f"{DATA}/watches", json={"storage": "archve", "scope": "x"}), 404, "not-found")
    assert owner.delete(f"{DATA}/watches/{watch.json()['id']}").status_code == 204
    is_problem(owner.delete(f"{DATA}/watches/{watch.json()['id']}"), 404, "not-found")
    for body in (
        {"Records": 5},
        {"Records": [{}]},
        {"Records": ["x"]},
        {},
        {"Records": [{"eventName": "x", "s3": []}]},
    ):
        is_problem(owner.post(f"{DATA}/notifications", json=body), 400, "input.invalid")
    assert owner.post(f"{DATA}/notifications", json={"Records": []}).json() == {"registered": []}


# Changes and work that is followed


def test_changes_are_numbered_and_waited_for(owner):
    put(owner, "changes:a")
    before = owner.get(f"{DATA}/changes", params={"name": "changes:a"}).json()
    assert [item["type"] for item in before["changes"]] == ["new"]
    assert before["changes"][0]["Records"][0]["s3"]["object"]["key"] == "a"
    quiet = owner.get(f"{DATA}/changes", params={"after": before["latest"], "wait": 0.3}).json()
    assert quiet["changes"] == []

    def later() -> None:
        owner.delete(f"{DATA}/datasets/changes:a")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(later)
        told = owner.get(f"{DATA}/changes", params={"after": before["latest"], "wait": 30}).json()["changes"]
    assert [item["type"] for item in told] == ["removed"]
    for query in (
        {"after": -1},
        {"after": "x"},
        {"wait": 61},
        {"limit": 0},
        {"name": "x"},
        {"frob": 1},
        {"after": 2**63},
    ):
        is_problem(owner.get(f"{DATA}/changes", params=query), 400, "input.invalid")


def test_the_event_stream_goes_on_after_the_last_one_seen(owner):
    put(owner, "events:a")
    put(owner, "events:b")
    first, second = (
        owner.get(f"{DATA}/changes", params={"name": f"events:{item}"}).json()["changes"][0] for item in "ab"
    )
    with owner.stream("GET", f"{DATA}/events", headers={"Last-Event-ID": str(first["number"])}) as answer:
        lines = answer.iter_lines()
        found = [next(line for line in lines if line.startswith(kind)) for kind in ("id: ", "data: ")]
    assert found[0] == f"id: {second['number']}" and json.loads(found[1].removeprefix("data: ")) == second


def test_work_that_is_followed_ends_in_its_result_or_a_problem(owner):
    put(owner, "followed:a")

    def events(path: str, body: dict) -> list[dict]:
        answer = owner.post(path, json=body, headers={"Accept": "text/event-stream"})
        assert answer.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]

    told = events(f"{DATA}/verify", {"names": ["followed:a"]})
    assert told[-1]["result"] == owner.post(f"{DATA}/verify", json={"names": ["followed:a"]}).json()
    assert told[-1]["result"]["passed"] and all("progress" in item for item in told[:-1])
    assert events(f"{DATA}/verify", {"names": ["followed:none"]})[-1]["error"]["code"] == "not-found"
    assert events(f"{DATA}/storages/nowhere/registrations", {"scope": "a"})[-1]["error"]["status"] == 404


# Bad input of every route


@pytest.mark.parametrize(
    ("method", "path", "good"),
    [
        ("POST", "/datasets", {"name": "bad:a", "storage": "home", "path": "a"}),
        ("POST", "/datasets/bad:a/members", {"members": ["bad:b"]}),
        ("POST", "/verify", {"names": ["bad:a"], "repair": True}),
        ("POST", "/storages/home/registrations", {"scope": "bad", "folder": "x"}),
        ("POST", "/transfers", {"names": ["bad:a"], "storage": "archive", "only": False, "priority": 0}),
        (
            "POST",
            "/storages",
            {"name": "bad", "kind": "local", "options": {"folder": "/nowhere"}, "tags": ["a"], "quota": 1},
        ),
        ("PATCH", "/storages/home", {"site": "a", "tags": ["a"], "quota": 1}),
        ("POST", "/storages/home/reclaim", {"bytes": 1}),
        ("POST", "/tokens", {"name": "bad", "kind": "static", "options": {"token": "env:X"}}),
        ("POST", "/tokens/try", {"storage": "home", "operation": "read", "path": "a"}),
        ("POST", "/rules", {"name": "bad:a", "copies": 1, "near": ["a"], "apart": True, "priority": 1}),
        ("POST", "/watches", {"storage": "home", "folder": "a", "scope": "bad", "pattern": "*"}),
    ],
)
def test_members_of_wrong_types_or_unknown_are_refused(owner, method, path, good):
    for name, value in good.items():
        wrong = [7.5, None, {"a": [1]}, [[1]], "text"] if not isinstance(value, str) else [7, None, {}, [], True]
        wrong = [item for item in wrong if not (name in ("site", "quota", "bytes") and item is None)]
        wrong = [item for item in wrong if not (name == "pattern" and item is None)]
        for item in wrong:
            is_problem(owner.request(method, DATA + path, json=good | {name: item}), 400, "input.invalid")
    is_problem(owner.request(method, DATA + path, json=good | {"frob": 1}), 400, "input.invalid")
    for body in (b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 3000):
        answer = owner.request(method, DATA + path, content=body, headers={"Content-Type": "application/json"})
        is_problem(answer, 400, "input.invalid")
    text = (
        next(name for name, value in good.items() if isinstance(value, str))
        if path != "/verify" and "bytes" not in good and "members" not in good
        else None
    )
    if text:
        for value in ("a\0b", "x" * 1001):
            is_problem(owner.request(method, DATA + path, json=good | {text: value}), 400, "input.invalid")
        lone = json.dumps(good | {text: "\ud800"}).encode()
        answer = owner.request(method, DATA + path, content=lone, headers={"Content-Type": "application/json"})
        is_problem(answer, 400, "input.invalid")


def test_numbers_out_of_bounds_are_refused(owner):
    for path, body in (
        ("/transfers", {"names": ["a:b"], "storage": "archive", "priority": 1001}),
        ("/transfers", {"names": [], "storage": "archive"}),
        ("/rules", {"name": "a:b", "copies": 0}),
        ("/rules", {"name": "a:b", "copies": 21}),
        ("/rules", {"name": "a:b", "copies": 1, "near": ["x", "y"]}),
        ("/storages", {"name": "x", "kind": "local", "options": {"folder": "/x"}, "quota": -1}),
        ("/storages", {"name": "x", "kind": "local", "options": {"folder": "/x"}, "quota": 2**63}),
        ("/storages/home/reclaim", {"bytes": -1}),
    ):
        is_problem(owner.post(DATA + path, json=body), 400, "input.invalid")


def test_what_is_not_there_is_a_404_that_knows_better(owner):
    put(owner, "known:rain")
    assert "'known:rain'" in is_problem(owner.get(f"{DATA}/datasets/known:rian"), 404, "not-found")["hint"]
    for method, path in (
        ("DELETE", "/datasets/known:none"), ("GET", "/datasets/known:none/content"), ("GET", "/datasets/known:none/description"),
        ("GET", "/transfers/transfer-none"), ("POST", "/transfers/transfer-none/cancel"), ("GET", "/storages/none"),
        ("DELETE", "/storages/none"), ("POST", "/storages/none/reclaim"), ("GET", "/rules/rule-none"),
        ("DELETE", "/rules/rule-none"), ("DELETE", "/watches/watch-none"), ("DELETE", "/tokens/none"),
        ("GET", "/collections/none/geoparquet"), ("GET", "/frob"),
    ):  # fmt: skip
        is_problem(owner.request(method, DATA + path), 404, "not-found")
    is_problem(owner.post(f"{DATA}/datasets/known:none/content"), 405, "method-not-allowed")
    is_problem(owner.get(f"{DATA}/transfers", params={"state": "lost"}), 400, "input.invalid")


def test_strangers_get_nothing(lake_server):
    with lake_server.client(signed_in=False) as stranger:
        for method, path in (
            ("GET", "/datasets"),
            ("PUT", "/datasets/a:b/content"),
            ("GET", "/storages"),
            ("POST", "/rounds"),
        ):
            is_problem(stranger.request(method, DATA + path), 401, "access.unauthenticated")


def test_every_route_is_in_the_description(owner):
    paths = owner.get("/api/v1/openapi.json").json()["paths"]
    assert {"get", "head", "put"} <= set(paths[f"{DATA}/datasets/{{name}}/content"])
    assert sum(path.startswith(DATA) for path in paths) >= 25

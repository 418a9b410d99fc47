"""Files over HTTP: ranges, conditions, digests, folders, and names that try to escape."""

from __future__ import annotations

import base64
import hashlib
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storage_stage import Place, adler32, noise, raw, sha256, spoken

from gemel.faces.storage._conditions import ranges_of
from gemel.faces.storage._errors import Refusal
from gemel.faces.storage._tree import Node
from stage import until

NAMES = ("plain.txt", "with blank.nc", "Überlauf µ.csv", "100%+&=#?.bin", "deep/er/still.dat", "a;b,c'd(e)~.x")


def quoted(name: str) -> str:
    return f"/{quote(name)}"


def test_what_is_put_is_read_back_whole_and_named_by_its_tag(owner: httpx2.Client) -> None:
    for number, name in enumerate(NAMES):
        content = noise(number * 100_000)
        answer = owner.put(quoted(name), content=content)
        assert answer.status_code == 201, (name, answer.text)
        found = owner.get(quoted(name))
        assert found.content == content and found.headers["etag"] == answer.headers["etag"]
        assert answer.headers["digest"].startswith("sha-256=") or "adler32=" in answer.headers["digest"]
        head = owner.head(quoted(name))
        assert head.headers["content-length"] == str(len(content)) and head.content == b""
    assert owner.put("/plain.txt", content=b"again").status_code == 204
    assert owner.get("/plain.txt").content == b"again"


def test_ranges_are_those_of_the_file(owner: httpx2.Client) -> None:
    content = noise(300_000)
    owner.put("/r", content=content)
    for spec, start, stop in (
        ("0-0", 0, 1),
        ("10-19", 10, 20),
        ("299999-", 299_999, 300_000),
        ("-5", 299_995, 300_000),
        ("100-999999", 100, 300_000),
        ("-999999", 0, 300_000),
    ):
        answer = owner.get("/r", headers={"Range": f"bytes={spec}"})
        assert answer.status_code == 206 and answer.content == content[start:stop], spec
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/300000"
    for spec in ("300000-", "-0", "999999999999-"):
        answer = owner.get("/r", headers={"Range": f"bytes={spec}"})
        assert answer.status_code == 416 and answer.headers["content-range"] == "bytes */300000", spec
    for spec in ("bytes=5-2", "bytes=", "bytes=a-b", "lines=1-2", "bytes=0-1,x", "bytes=0-,0-,0-"):
        answer = owner.get("/r", headers={"Range": spec})
        assert answer.status_code == 200 and answer.content == content, spec


@given(st.integers(0, 2000), st.text("0123456789-,", max_size=12))
def test_no_range_reaches_beyond_the_file(size: int, spec: str) -> None:
    try:
        found = ranges_of({"range": f"bytes={spec}"}, Node("f", False, size, 0.0, "v"))
    except Refusal as refusal:
        assert refusal.status == 416
    else:
        assert all(0 <= start < stop <= size for start, stop in found)
        assert sum(stop - start for start, stop in found) <= size


def test_several_ranges_come_in_one_answer(owner: httpx2.Client) -> None:
    content = noise(3_000_000)
    owner.put("/r", content=content)
    answer = owner.get("/r", headers={"Range": "bytes=5-9,100-2000000,-3,9999999-"})
    assert answer.status_code == 206 and int(answer.headers["content-length"]) == len(answer.content)
    mark = answer.headers["content-type"].removeprefix("multipart/byteranges; boundary=").encode()
    parts = answer.content.split(b"\r\n--" + mark)
    assert parts[0] == b"" and parts[-1] == b"--\r\n"
    wanted = [(5, 10), (100, 2_000_001), (2_999_997, 3_000_000)]
    for part, (start, stop) in zip(parts[1:-1], wanted, strict=True):
        head, _, body = part.partition(b"\r\n\r\n")
        assert f"bytes {start}-{stop - 1}/3000000".encode() in head and body == content[start:stop]


def test_conditions_hold_or_the_request_does_nothing(owner: httpx2.Client) -> None:
    tag = owner.put("/c", content=b"one").headers["etag"]
    assert owner.get("/c", headers={"If-None-Match": tag}).status_code == 304
    assert owner.get("/c", headers={"If-None-Match": '"other"'}).content == b"one"
    assert owner.get("/c", headers={"If-Match": '"other"'}).status_code == 412
    assert owner.get("/c", headers={"If-Match": f'"x", {tag}'}).status_code == 200
    modified = owner.head("/c").headers["last-modified"]
    assert owner.get("/c", headers={"If-Modified-Since": modified}).status_code == 304
    assert owner.get("/c", headers={"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}).status_code == 412
    assert owner.get("/c", headers={"Range": "bytes=1-1", "If-Range": tag}).content == b"n"
    assert owner.get("/c", headers={"Range": "bytes=1-1", "If-Range": '"other"'}).content == b"one"
    assert owner.get("/c", headers={"Range": "bytes=1-1", "If-Range": modified}).content == b"n"
    assert owner.put("/c", content=b"two", headers={"If-None-Match": "*"}).status_code == 412
    assert owner.put("/c", content=b"two", headers={"If-Match": '"other"'}).status_code == 412
    assert owner.put("/new", content=b"two", headers={"If-Match": "*"}).status_code == 412
    assert owner.get("/c").content == b"one"
    assert owner.put("/c", content=b"two", headers={"If-Match": tag}).status_code == 204
    assert owner.delete("/c", headers={"If-Match": tag}).status_code == 412
    assert owner.get("/c").content == b"two"


def test_digests_are_told_in_the_form_that_is_asked_for(owner: httpx2.Client) -> None:
    content = noise(1_000_000)
    owner.put("/d", content=content)
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    sha = base64.b64encode(hashlib.sha256(content).digest()).decode()
    for wanted, told in (
        ("adler32", f"adler32={adler32(content)}"),
        ("md5", f"md5={md5}"),
        ("SHA-256", f"sha-256={sha}"),
        ("sha-512", f"adler32={adler32(content)}"),
        ("md5;q=0.1,sha-256", f"sha-256={sha},md5={md5}"),
        ("md5;q=0, adler32;q=0.5", f"adler32={adler32(content)}"),
    ):
        answer = owner.head("/d", headers={"Want-Digest": wanted})
        assert answer.headers["digest"] == told and "repr-digest" not in answer.headers, wanted
    answer = owner.head("/d", headers={"Want-Repr-Digest": "sha-256=9, md5=0"})
    assert answer.headers["repr-digest"] == f"sha-256=:{sha}:" and "digest" not in answer.headers
    assert owner.get("/d", headers={"Want-Digest": "sha-256"}).headers["digest"] == f"sha-256={sha}"
    assert "digest" not in owner.head("/d").headers


def test_a_file_that_changes_has_another_digest(place: Place, owner: httpx2.Client) -> None:
    place.folder.mkdir()
    for content in (b"first", b"other"):
        (place.folder / "f").write_bytes(content)
        told = owner.head("/f", headers={"Want-Digest": "adler32"}).headers["digest"]
        assert told == f"adler32={adler32(content)}"


def test_a_digest_sent_along_is_compared_before_anything_is_kept(place: Place, owner: httpx2.Client) -> None:
    content = noise(700_000)
    sha = base64.b64encode(hashlib.sha256(content).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    right = (
        {"Digest": f"adler32={adler32(content)}"},
        {"Digest": f"SHA-256={sha},md5={md5}"},
        {"Repr-Digest": f"sha-256=:{sha}:"},
        {"Content-MD5": md5},
        {"Digest": f"adler32={adler32(content).upper()}"},
        {"Repr-Digest": "sha-512=:AAAA:"},
    )
    for number, headers in enumerate(right):
        assert owner.put(f"/right{number}", content=content, headers=headers).status_code == 201, headers
    kept = place.left()
    wrong = (
        {"Digest": "adler32=00000001"},
        {"Digest": f"sha-256={md5}"},
        {"Repr-Digest": "md5=:AAAA:"},
        {"Content-MD5": base64.b64encode(bytes(16)).decode()},
        {"Digest": "adler32=", "Content-MD5": md5},
        {"Digest": f"adler32={adler32(content)}", "Repr-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"},
    )
    for headers in wrong:
        answer = owner.put("/wrong", content=content, headers=headers)
        assert answer.status_code == 400 and answer.text, headers
        assert owner.put("/right0", content=b"x" + content[1:], headers=right[0]).status_code == 400
    assert place.left() == kept
    assert owner.get("/right0").content == content


def test_uploads_without_a_length_are_taken_and_parts_are_not(place: Place, owner: httpx2.Client) -> None:
    content = noise(2_000_000)
    assert (
        owner.put("/chunked", content=(content[at : at + 7001] for at in range(0, len(content), 7001))).status_code
        == 201
    )
    assert owner.get("/chunked").content == content
    assert owner.put("/part", content=b"x", headers={"Content-Range": "bytes 0-0/5"}).status_code == 400
    assert owner.put("/packed", content=b"x", headers={"Content-Encoding": "gzip"}).status_code == 415
    assert place.left() == ["chunked"]


def test_an_upload_that_breaks_off_leaves_nothing_and_loses_nothing(place: Place, owner: httpx2.Client) -> None:
    owner.put("/f", content=b"as it was")
    target = f"/dav/{place.name}/".encode()
    for name in (b"f", b"new"):
        request = spoken(b"PUT", target + name, b"Content-Length: 1000000") + b"x" * 500_000
        raw(place, request, stop_after=0)
        chunked = spoken(b"PUT", target + name, b"Transfer-Encoding: chunked") + b"4\r\nabcd\r\n"
        raw(place, chunked, stop_after=0)
    assert owner.get("/f").content == b"as it was" and owner.get("/new").status_code == 404
    _until_only(place, ["f"])


def test_a_client_that_sends_no_more_is_told_so(place: Place) -> None:
    request = spoken(b"PUT", f"/dav/{place.name}/slow".encode(), b"Content-Length: 10") + b"abc"
    assert raw(place, request).status == 408
    _until_only(place, [])


def test_a_file_that_cannot_fit_is_refused_before_it_is_sent(place: Place) -> None:
    request = spoken(
        b"PUT", f"/dav/{place.name}/large".encode(), b"Content-Length: 9000000000000000000", b"Expect: 100-continue"
    )
    answer = raw(place, request)
    assert answer.status == 507 and b"do not fit" in answer.body


def test_two_writers_never_mix(place: Place, owner: httpx2.Client) -> None:
    contents = [bytes([number]) * 3_000_000 for number in range(1, 5)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            statuses = [item.status_code for item in pool.map(lambda c: owner.put("/same", content=c), contents)]
            assert set(statuses) <= {201, 204}
            assert owner.get("/same").content in contents
    assert place.left() == ["same"]


def test_of_many_who_create_a_file_one_succeeds(place: Place, owner: httpx2.Client) -> None:
    only = {"If-None-Match": "*"}
    ready = threading.Barrier(6)

    def create(number: int) -> tuple[int, int]:
        ready.wait()
        return owner.put("/once", content=bytes([number]) * 400_000, headers=only).status_code, number

    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(create, range(6)))
    winners = [number for status, number in ended if status == 201]
    assert len(winners) == 1 and {status for status, _ in ended} == {201, 412}
    assert owner.get("/once").content == bytes(winners) * 400_000


TRICKS = (b"../x", b"..", b"a/../b", b"./a", b"a/.", b"a//b", b"/a", b"%2e%2e/x", b"%2E%2E%2Fx", b"a%2Fb", b"a%5Cb", b"a%00b",
          b"a%0Ab", b"%ff%fe", b"n" * 300, b"a/" * 600 + b"b", b".writing-abc", b"a/.writing-0", b"..%c0%af", b"%2e/x")  # fmt: skip


@pytest.mark.parametrize("method", [b"GET", b"PUT", b"DELETE", b"MKCOL", b"PROPFIND", b"MOVE", b"COPY", b"POST"])
def test_names_that_try_to_escape_are_refused(place: Place, method: bytes) -> None:
    (place.folder.parent / "x").write_bytes(b"secret")
    before = sorted(place.folder.parent.rglob("*"))
    free = f"http://$HOST/dav/{place.name}/free".encode()
    for trick in TRICKS:
        target = f"/dav/{place.name}/".encode() + trick
        answer = raw(place, spoken(method, target, b"Depth: 0", b"Content-Length: 0", b"Destination: " + free))
        assert answer.status in (400, 403, 404), (trick, answer)
        assert b"secret" not in answer.body
    assert sorted(place.folder.parent.rglob("*")) == before


@pytest.mark.parametrize("method", [b"MOVE", b"COPY"])
def test_destinations_that_try_to_escape_are_refused(place: Place, owner: httpx2.Client, method: bytes) -> None:
    owner.put("/f", content=b"here")
    for trick in TRICKS:
        for start in (b"http://$HOST", b""):
            to = start + f"/dav/{place.name}/".encode() + trick
            answer = raw(place, spoken(method, f"/dav/{place.name}/f".encode(), b"Destination: " + to))
            assert answer.status in (400, 403, 404), (trick, answer)
    for to in (b"/elsewhere", b"http://$HOST/api/v1/twins", f"/dav/{place.name}/a?b".encode(), b"x", b"http://[::1/x"):
        answer = raw(place, spoken(method, f"/dav/{place.name}/f".encode(), b"Destination: " + to))
        assert answer.status in (400, 403, 404, 502), (to, answer)
    assert place.left() == ["f"]


def test_a_link_out_of_the_folder_leads_nowhere(place: Place, owner: httpx2.Client) -> None:
    place.folder.mkdir()
    outside = place.folder.parent / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"secret")
    (place.folder / "link").symlink_to(outside)
    (place.folder / "file").symlink_to(outside / "f")
    for path in ("/link/f", "/file"):
        assert owner.get(path).status_code == 403
        assert owner.put(path, content=b"x").status_code == 403
        assert owner.delete(path).status_code == 403
    (place.folder / "inner").write_bytes(b"inner")
    (place.folder / "alias").symlink_to(place.folder / "inner")
    assert owner.get("/alias").content == b"inner"
    assert owner.delete("/alias").status_code == 403 and (place.folder / "inner").exists()
    listed = owner.request("PROPFIND", "/", headers={"Depth": "1"}).text
    assert "link" not in listed and "alias" not in listed
    assert (outside / "f").read_bytes() == b"secret"


def test_both_forms_of_a_name_in_unicode_are_names_of_their_own(place: Place, owner: httpx2.Client) -> None:
    for form in ("NFC", "NFD"):
        assert owner.put(quoted(unicodedata.normalize(form, "Überlauf")), content=form.encode()).status_code == 201
    for form in ("NFC", "NFD"):
        assert owner.get(quoted(unicodedata.normalize(form, "Überlauf"))).content == form.encode()
    assert len(place.left()) == 2


def test_files_are_never_shown_as_pages(owner: httpx2.Client) -> None:
    owner.put("/page.html", content=b"<script>alert(1)</script>")
    answer = owner.get("/page.html")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (
        answer.headers["content-disposition"] == "attachment" and answer.headers["x-content-type-options"] == "nosniff"
    )


def test_the_digest_that_is_sent_back_is_of_what_came(owner: httpx2.Client) -> None:
    content = noise(5000)
    told = owner.put("/e", content=content, headers={"Want-Repr-Digest": "sha-256=1"}).headers
    assert told["repr-digest"].count(base64.b64encode(bytes.fromhex(sha256(content))).decode()) == 1


def _until_only(place: Place, names: list[str]) -> None:
    until(lambda: place.left() == names)

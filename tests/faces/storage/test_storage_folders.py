"""Folders as WebDAV has them: made, listed, moved, copied and removed, each error with the status of RFC 4918."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import unquote

import httpx2
import pytest
from storage_stage import Place, adler32, noise, raw, spoken

from stage import Serving

DAV = "{DAV:}"


def asked(client: httpx2.Client, method: str, path: str, **headers: str) -> httpx2.Response:
    return client.request(method, path, headers=headers)


def listed(client: httpx2.Client, path: str, depth: str = "1", body: bytes = b"") -> dict[str, ET.Element]:
    answer = client.request("PROPFIND", path, headers={"Depth": depth}, content=body)
    assert answer.status_code == 207, answer.text
    root = ET.fromstring(answer.content)
    return {unquote(item.findtext(f"{DAV}href", "")): item for item in root.iter(f"{DAV}response")}


def test_a_folder_is_made_once_and_inside_another(place: Place, owner: httpx2.Client) -> None:
    assert asked(owner, "MKCOL", "/a/").status_code == 201
    assert asked(owner, "MKCOL", "/a").status_code == 405
    assert asked(owner, "MKCOL", "/x/y/").status_code == 409
    owner.put("/f", content=b"x")
    assert asked(owner, "MKCOL", "/f").status_code == 405
    assert asked(owner, "MKCOL", "/f/g").status_code == 409
    assert owner.put("/f/g", content=b"x").status_code == 409
    assert owner.put("/a", content=b"x").status_code == 405
    assert owner.put("/new/", content=b"x").status_code == 405
    assert owner.request("MKCOL", "/b", content=b"<x/>").status_code == 415
    assert owner.get("/a").status_code == 405 and "PROPFIND" in owner.get("/a").headers["allow"]
    assert owner.delete("/a/").status_code == 204 and owner.delete("/a").status_code == 404
    assert asked(owner, "MKCOL", "").status_code == 405


def test_an_empty_folder_stays_when_its_last_file_goes(owner: httpx2.Client) -> None:
    owner.put("/a/b/f", content=b"x")
    assert owner.delete("/a/b/f").status_code == 204
    assert set(listed(owner, "/a/b/")) == {f"{owner.base_url.path.rstrip('/')}/a/b/"}


def test_a_list_names_what_is_there_with_size_and_tag(place: Place, owner: httpx2.Client) -> None:
    base = f"/dav/{place.name}"
    for path in ("/a/1", "/a/with blank µ & <x>", "/a/b/2", "/c"):
        owner.put(path, content=path.encode())
    found = listed(owner, "/a")
    assert set(found) == {f"{base}/a/", f"{base}/a/1", f"{base}/a/with blank µ & <x>", f"{base}/a/b/"}
    entry = found[f"{base}/a/1"]
    assert entry.findtext(f".//{DAV}getcontentlength") == "4"
    assert entry.findtext(f".//{DAV}getetag") == owner.head("/a/1").headers["etag"]
    assert found[f"{base}/a/b/"].find(f".//{DAV}collection") is not None
    assert set(listed(owner, "/a", "0")) == {f"{base}/a/"} and set(listed(owner, "/c", "1")) == {f"{base}/c"}
    assert asked(owner, "PROPFIND", "/nothing", Depth="0").status_code == 404
    assert asked(owner, "PROPFIND", "/c/", Depth="0").status_code == 404


def test_a_whole_tree_at_once_is_refused_as_the_standard_says(owner: httpx2.Client) -> None:
    for headers in ({"Depth": "infinity"}, {}):
        answer = owner.request("PROPFIND", "/", headers=headers)
        assert answer.status_code == 403 and "propfind-finite-depth" in answer.text
    assert asked(owner, "PROPFIND", "/", Depth="2").status_code == 400


def test_properties_that_are_not_there_are_said_to_be_missing(owner: httpx2.Client) -> None:
    owner.put("/f", content=b"x")
    body = b'<propfind xmlns="DAV:"><prop><getcontentlength/><x:colour xmlns:x="urn:x&quot;y"/></prop></propfind>'
    (found,) = listed(owner, "/f", "0", body).values()
    states = {
        item.findtext(f"{DAV}status"): [x.tag for x in item.find(f"{DAV}prop")] for item in found.iter(f"{DAV}propstat")
    }
    assert states == {"HTTP/1.1 200 OK": [f"{DAV}getcontentlength"], "HTTP/1.1 404 Not Found": ['{urn:x"y}colour']}
    patched = owner.request(
        "PROPPATCH", "/f", content=b'<propertyupdate xmlns="DAV:"><set><prop><x/></prop></set></propertyupdate>'
    )
    assert patched.status_code == 207 and "403 Forbidden" in patched.text


@pytest.mark.parametrize(
    "body",
    [b"<", b"<a/>", b"\xff\xfe", b"<propfind xmlns='DAV:'/>", b"x" * 70_000,
     b"<!DOCTYPE a [<!ENTITY b 'c'>]><propfind xmlns='DAV:'><prop>&b;</prop></propfind>"],
)  # fmt: skip
def test_questions_that_are_no_xml_are_refused(owner: httpx2.Client, body: bytes) -> None:
    assert owner.request("PROPFIND", "/", headers={"Depth": "0"}, content=body).status_code in (400, 413)


def test_moving_keeps_one_file_and_asks_before_it_replaces(place: Place, owner: httpx2.Client) -> None:
    owner.put("/a", content=b"a")
    owner.put("/b", content=b"b")
    to = f"{place.url}/b"
    assert asked(owner, "MOVE", "/a", Destination=to, Overwrite="F").status_code == 412
    assert asked(owner, "MOVE", "/a", Destination=to, Overwrite="X").status_code == 400
    assert asked(owner, "MOVE", "/a", Destination=f"{place.url}/no/folder").status_code == 409
    assert asked(owner, "MOVE", "/a", Destination=f"{place.url}/b/below").status_code == 409
    assert asked(owner, "MOVE", "/a", Destination=f"{place.url}/a").status_code == 403
    assert asked(owner, "MOVE", "/nothing", Destination=to).status_code == 404
    assert asked(owner, "MOVE", "/a").status_code == 400
    for elsewhere in ("https://example.org/b", f"{place.serving.url}/dav/home/b"):
        assert asked(owner, "MOVE", "/a", Destination=elsewhere).status_code == 502
    assert asked(owner, "MOVE", "/a", Destination=to).status_code == 204
    assert owner.get("/b").content == b"a" and place.left() == ["b"]
    assert asked(owner, "MOVE", "/b", Destination=f"/dav/{place.name}/with%20blank%25%C3%9C").status_code == 201
    assert place.left() == ["with blank%Ü"]


def test_folders_are_moved_and_copied_with_all_in_them(place: Place, owner: httpx2.Client) -> None:
    for path in ("/a/1", "/a/b/2", "/old/3"):
        owner.put(path, content=path.encode())
    assert asked(owner, "COPY", "/a/", Destination=f"{place.url}/copy/").status_code == 201
    assert asked(owner, "COPY", "/a", Destination=f"{place.url}/shallow", Depth="0").status_code == 201
    assert asked(owner, "COPY", "/a", Destination=f"{place.url}/a/inside").status_code == 403
    assert asked(owner, "MOVE", "/a/b", Destination=f"{place.url}/a").status_code == 403
    assert asked(owner, "MOVE", "/a", Destination=f"{place.url}/old", Overwrite="F").status_code == 412
    assert asked(owner, "MOVE", "/a", Destination=f"{place.url}/old").status_code == 204
    assert place.left() == ["copy/1", "copy/b/2", "old/1", "old/b/2"]
    assert owner.get("/copy/b/2").content == b"/a/b/2"
    assert owner.delete("/copy", headers={"Depth": "0"}).status_code == 400
    assert owner.delete("/copy").status_code == 204
    assert place.left() == ["old/1", "old/b/2"]


def test_a_copy_within_goes_to_other_storages_too(place: Place, owner: httpx2.Client) -> None:
    owner.put("/f", content=noise(600_000))
    to = f"{place.serving.url}/dav/home/copied-{place.name}"
    assert asked(owner, "COPY", "/f", Destination=to, Overwrite="F").status_code == 201
    assert asked(owner, "COPY", "/f", Destination=to, Overwrite="F").status_code == 412
    with place.client() as client:
        told = client.head(to, headers={"Want-Digest": "adler32"}).headers["digest"]
    assert told == f"adler32={adler32(noise(600_000))}"


def test_a_folder_that_cannot_be_listed_is_refused_whole(place: Place, served: Serving) -> None:
    assert served.service is not None
    name = f"web-{place.name}"
    served.service.engine.storages.add(name, "http", {"url": place.url})
    with Place(served, name, place.folder).client() as client:
        answer = asked(client, "PROPFIND", "/", Depth="1")
        assert answer.status_code == 400 and "cannot list" in answer.text
        assert asked(client, "PROPFIND", "/", Depth="0").status_code == 207


def test_the_top_lists_storages_and_stays(place: Place, served: Serving, owner: httpx2.Client) -> None:
    with served.client() as client:
        for top in ("/dav", "/dav/"):
            answer = client.request("PROPFIND", top, headers={"Depth": "1"})
            assert f"/dav/{place.name}/" in answer.text and "/dav/home/" in answer.text
            assert client.delete(top).status_code in (403, 404) and client.put(top, content=b"x").status_code in (
                404,
                405,
            )
        assert client.request("PROPFIND", "/dav/no-such-storage/", headers={"Depth": "0"}).status_code == 404
        assert client.get("/dav/no-such-storage/f").status_code == 404
    assert owner.delete("").status_code == 403
    assert asked(owner, "MOVE", "", Destination=f"{place.url}/x").status_code == 403
    assert asked(owner, "COPY", "/", Destination=f"{place.serving.url}/dav/home/x").status_code == 403


def test_what_is_possible_is_said_to_anyone_and_nothing_else(place: Place, served: Serving) -> None:
    with served.client(signed_in=False) as stranger:
        told = stranger.options(f"/dav/{place.name}/f")
        assert told.headers["dav"] == "1" and "COPY" in told.headers["allow"]
        for method in ("GET", "PUT", "PROPFIND", "DELETE", "COPY", "MOVE", "MKCOL", "POST", "LOCK"):
            answer = stranger.request(method, f"/dav/{place.name}/f", headers={"Depth": "0"})
            assert answer.status_code == 401 and "Bearer" in answer.headers["www-authenticate"], method
    assert raw(place, spoken(b"LOCK", f"/dav/{place.name}/f".encode())).status == 405


def test_a_storage_elsewhere_is_read_by_ranges_and_not_written(place: Place, served: Serving, tmp_path) -> None:
    content = noise(3_000_000)
    with place.client() as client:
        client.put("/deep/er/f", content=content)
    token = tmp_path / "token"
    token.write_text(place.token)
    assert served.service is not None
    name = f"far-{place.name}"
    served.service.engine.storages.add(name, "webdav", {"url": place.url, "token": f"file:{token}"})
    far = Place(served, name, tmp_path / "none")
    with far.client() as client:
        assert client.get("/deep/er/f").content == content
        assert client.get("/deep/er/f", headers={"Range": "bytes=5-9"}).content == content[5:10]
        assert (
            client.head("/deep/er/f", headers={"Want-Digest": "adler32"}).headers["digest"]
            == f"adler32={adler32(content)}"
        )
        assert set(listed(client, "/")) == {f"/dav/{name}/", f"/dav/{name}/deep/"}
        assert set(listed(client, "/deep/er")) == {f"/dav/{name}/deep/er/", f"/dav/{name}/deep/er/f"}
        assert client.put("/x", content=b"x").status_code == 403 and client.delete("/deep/er/f").status_code == 403
        assert client.get("/nothing").status_code == 404
        assert asked(client, "MKCOL", "/x").status_code == 403
        assert asked(client, "COPY", "/deep/er/f", Destination=f"{place.url}/back").status_code == 201
    assert place.left() == ["back", "deep/er/f"]

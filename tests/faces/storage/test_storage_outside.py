"""Clients that others wrote use the element: gfal2, curl, rclone, XRootD; and our own storages of WebDAV."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from storage_stage import Place, adler32, noise, third_party

from gemel.infra.lake.storages import Storage, WebdavStorage
from gemel.testing import StorageContract
from stage import PATIENCE

CONTENT = noise(5_000_000)
_GFAL = Path(__file__).with_name("outside") / "gfal_session.py"
_PYTHON = "/usr/bin/python3"


def ran(command: list[str], **environment: str) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | environment)
    assert ended.returncode == 0, f"{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
    return ended.stdout


@pytest.fixture(scope="session")
def gfal() -> Callable[..., list[dict[str, Any]]]:
    """Return what runs steps in gfal2."""
    found = subprocess.run([_PYTHON, "-c", "import gfal2"], capture_output=True)
    if found.returncode or not list(Path("/usr/lib").glob("*/gfal2-plugins/libgfal_plugin_http.so")):
        pytest.skip("gfal2 is not installed (Debian packages `python3-gfal2 gfal2-plugin-http`)")

    def steps(*steps: list[Any], tokens: dict[str, str], certificates: str = "") -> list[dict[str, Any]]:
        task = json.dumps({"steps": steps, "tokens": tokens})
        told = ran([_PYTHON, str(_GFAL), task], X509_CERT_DIR=certificates or "/etc/ssl/certs")
        return list(json.loads(told))

    return steps


@pytest.fixture(scope="session")
def curl() -> str:
    """Return the program curl."""
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is not installed (Debian package `curl`)")
    return found


class TestWebdavOfOurOwn(StorageContract):
    """The element is a storage like any other to a second engine."""

    @pytest.fixture(autouse=True)
    def _place(self, place: Place, tmp_path: Path) -> None:
        self.place, self.count = place, 0
        (tmp_path / "token").write_text(place.token)
        self.options = {"token": f"file:{tmp_path / 'token'}"}

    def opened(self) -> Storage:
        self.count += 1
        with self.place.client() as client:
            client.request("MKCOL", f"/part%20{self.count}")
        return WebdavStorage("element", self.options | {"url": f"{self.place.url}/part%20{self.count}"})


def test_gfal_does_what_it_does_with_files(place: Place, gfal) -> None:
    dav = place.url.replace("http://", "dav://")
    with place.client() as client:
        client.put("/a/f%20g", content=CONTENT)
        client.put("/text", content=b"Wikipedia")
    token = {f"{dav}/": place.token}
    told = gfal(
        ["stat", f"{dav}/a/f%20g"],
        ["checksum", f"{dav}/a/f%20g", "ADLER32"],
        ["checksum", f"{dav}/a/f%20g", "MD5"],
        ["read", f"{dav}/text", 3, 6],
        ["mkdir", f"{dav}/deep/er"],
        ["rename", f"{dav}/a/f%20g", f"{dav}/deep/er/h"],
        ["list", f"{dav}/deep/er"],
        ["list", f"{dav}/"],
        ["unlink", f"{dav}/deep/er/h"],
        ["rmdir", f"{dav}/deep/er"],
        ["stat", f"{dav}/deep/er/h"],
        tokens=token,
    )
    import hashlib

    values = [item.get("value", item) for item in told]
    assert values[:4] == [len(CONTENT), adler32(CONTENT), hashlib.md5(CONTENT).hexdigest(), "ipedia"]
    assert values[4:10] == [0, 0, ["h"], ["a", "deep", "text"], 0, 0], values
    assert told[10]["code"] == 2  # ENOENT
    assert "error" in gfal(["stat", f"{dav}/a"], tokens={f"{dav}/": "wrong"})[0]


@pytest.mark.parametrize("mode", ["3rd pull", "3rd push", ""])
def test_gfal_copies_between_two_engines_with_two_tokens(place: Place, second: Place, gfal, mode: str) -> None:
    with place.client() as client:
        client.put("/f", content=CONTENT)
    source, target = (item.url.replace("http://", "dav://") for item in (place, second))
    tokens = {
        f"{source}/": place.macaroon("/", "DOWNLOAD,LIST"),
        f"{target}/": second.macaroon("/", "UPLOAD,DELETE,MANAGE,LIST"),
    }
    told = gfal(["copy", f"{source}/f", f"{target}/new/f", mode, True], tokens=tokens)
    assert told == [{"value": None}], told
    assert second.left() == ["new/f"] and (second.folder / "new/f").read_bytes() == CONTENT
    swapped = dict(zip(tokens, reversed(tokens.values()), strict=True))
    assert "error" in gfal(["copy", f"{source}/f", f"{target}/other", mode, True], tokens=swapped)[0]
    assert second.left() == ["new/f"]


def test_curl_puts_gets_ranges_and_copies(place: Place, second: Place, curl: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    signed = [curl, "-sS", "--fail-with-body", "-H", f"Authorization: Bearer {place.token}"]
    ran([*signed, "-T", str(tmp_path / "f"), f"{place.url}/f"])
    ran([*signed, "-H", "Transfer-Encoding: chunked", "-T", str(tmp_path / "f"), f"{place.url}/g"])
    ran([*signed, "-r", "10-19", "-o", str(tmp_path / "part"), f"{place.url}/g"])
    assert (tmp_path / "part").read_bytes() == CONTENT[10:20]
    (tmp_path / "half").write_bytes(CONTENT[:1_000_000])
    ran([*signed, "-C", "-", "-o", str(tmp_path / "half"), f"{place.url}/f"])
    assert (tmp_path / "half").read_bytes() == CONTENT
    there = second.macaroon("/", "UPLOAD")
    told = ran([*signed, "-X", "COPY", "-H", f"Destination: {second.url}/h", "-H", f"TransferHeaderAuthorization: Bearer {there}",
                f"{place.url}/f"])  # fmt: skip
    assert told.endswith("success: Created\n") and (second.folder / "h").read_bytes() == CONTENT
    refused = subprocess.run([*signed, "--path-as-is", f"{place.url}/../../etc/passwd"], capture_output=True, text=True)
    assert refused.returncode == 22 and "400" in refused.stderr


def test_rclone_copies_lists_checks_and_moves(place: Place, rclone: str, tmp_path: Path) -> None:
    files = {"a/1": noise(100), "a/b/with blank µ#%.bin": noise(3_000_000), "empty": b"", "c": noise(70_000)}
    for path, content in files.items():
        (tmp_path / "from" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "from" / path).write_bytes(content)
    remote = f":webdav,url='{place.url}',vendor=other,bearer_token={place.token}:"
    run = [rclone, "--config", str(tmp_path / "none.conf"), "--retries", "1", "-q"]
    ran([*run, "copy", str(tmp_path / "from"), f"{remote}up"])
    found = json.loads(ran([*run, "lsjson", "-R", f"{remote}up"]))
    assert {item["Path"]: item["Size"] for item in found if not item["IsDir"]} == {k: len(v) for k, v in files.items()}
    ran([*run, "check", "--download", str(tmp_path / "from"), f"{remote}up"])
    ran([*run, "moveto", f"{remote}up/a", f"{remote}moved/here"])
    ran([*run, "copyto", f"{remote}up/c", f"{remote}up/d"])
    ran([*run, "deletefile", f"{remote}up/c"])
    ran([*run, "purge", f"{remote}moved"])
    assert place.left() == ["up/d", "up/empty"]


def test_xrootd_over_plain_http_is_pulled_from_and_pushed_to(place: Place, xrootd) -> None:
    with place.client() as client:
        client.put("/f", content=CONTENT)
        sent = {"TransferHeaderAuthorization": f"Bearer {xrootd.mint()}", "RequireChecksumVerification": "true"}
        there = f"{xrootd.url}/{place.name}"
        assert third_party(client, "/f", Destination=f"{there}/f", **sent)[1] == "success: Created"
        assert (xrootd.folder / place.name / "f").read_bytes() == CONTENT
        assert third_party(client, "/f", Destination=f"{there}/f", Overwrite="F", **sent)[1].startswith("failure:")
        assert third_party(client, "/back", Source=f"{there}/f", **sent)[1] == "success: Created"
        narrow = {"TransferHeaderAuthorization": f"Bearer {xrootd.mint('/private/other')}"}
        assert "403" in third_party(client, "/g", Source=f"{there}/f", **narrow)[1]
        assert "403" in third_party(client, "/f", Destination=f"{there}/g", **narrow)[1]
        assert "404" in third_party(client, "/g", Source=f"{there}/nothing", **sent)[1]
    assert place.left() == ["back", "f"] and (place.folder / "back").read_bytes() == CONTENT


def test_xrootd_pulls_from_us_and_pushes_to_us_with_two_tokens(place: Place, xrootd_pair, curl: str) -> None:
    with place.client() as client:
        client.put("/out/f", content=CONTENT)
    site = xrootd_pair.a
    ours, theirs = place.macaroon("/out", "DOWNLOAD"), site.mint()
    into = place.macaroon("/in", "UPLOAD")
    run = [curl, "-sS", "--cacert", str(xrootd_pair.authority.file), "-X", "COPY", "-H", f"Authorization: Bearer {theirs}",
           "-H", "Credential: none"]  # fmt: skip
    there = f"{site.url}/{place.name}"
    pulled = ran(
        [*run, "-H", f"Source: {place.url}/out/f", "-H", f"TransferHeaderAuthorization: Bearer {ours}", f"{there}"]
    )
    assert "success: Created" in pulled
    assert (site.folder / place.name).read_bytes() == CONTENT
    pushed = ran(
        [*run, "-H", f"Destination: {place.url}/in/f", "-H", f"TransferHeaderAuthorization: Bearer {into}", f"{there}"]
    )
    assert "success: Created" in pushed
    assert (place.folder / "in/f").read_bytes() == CONTENT
    refused = ran(
        [*run, "-H", f"Destination: {place.url}/in/g", "-H", f"TransferHeaderAuthorization: Bearer {ours}", f"{there}"]
    )
    assert "failure:" in refused and place.left() == ["in/f", "out/f"]


def test_xrootd_over_tls_is_pulled_from_and_pushed_to(place: Place, xrootd_pair, monkeypatch) -> None:
    site, sent = xrootd_pair.b, {"RequireChecksumVerification": "true"}
    sent["TransferHeaderAuthorization"] = f"Bearer {site.mint()}"
    with place.client() as client:
        client.put("/f", content=CONTENT)
        untrusted = third_party(client, "/f", Destination=f"{site.url}/{place.name}", **sent)[1]
        assert untrusted.startswith("failure:") and "certificate" in untrusted.lower()
        monkeypatch.setenv("X509_CERT_DIR", str(xrootd_pair.authority.folder))
        assert third_party(client, "/f", Destination=f"{site.url}/{place.name}", **sent)[1] == "success: Created"
        assert third_party(client, "/back", Source=f"{site.url}/{place.name}", **sent)[1] == "success: Created"
    assert (place.folder / "back").read_bytes() == CONTENT


def test_gfal_copies_between_xrootd_and_us(place: Place, xrootd_pair, gfal, monkeypatch) -> None:
    monkeypatch.setenv("X509_CERT_DIR", str(xrootd_pair.authority.folder))
    site = xrootd_pair.a
    with place.client() as client:
        client.put("/f", content=CONTENT)
    ours = place.url.replace("http://", "dav://")
    theirs = site.url.replace("https://", "davs://")
    tokens = {f"{ours}/": place.token, f"{theirs}/": site.mint()}
    told = gfal(
        ["copy", f"{theirs}/{place.name}", f"{ours}/back", "3rd pull", True],
        tokens=tokens, certificates=str(xrootd_pair.authority.folder),
    )  # fmt: skip
    assert "error" in told[0]  # it is not there yet
    told = gfal(
        ["copy", f"{ours}/f", f"{theirs}/{place.name}", "3rd push", True],
        ["copy", f"{theirs}/{place.name}", f"{ours}/back", "3rd pull", True],
        ["copy", f"{ours}/f", f"{theirs}/{place.name}-2", "3rd pull", True],
        ["copy", f"{theirs}/{place.name}-2", f"{ours}/again", "3rd push", True],
        tokens=tokens, certificates=str(xrootd_pair.authority.folder),
    )  # fmt: skip
    assert told == [{"value": None}] * 4, told
    assert (place.folder / "back").read_bytes() == CONTENT and (place.folder / "again").read_bytes() == CONTENT

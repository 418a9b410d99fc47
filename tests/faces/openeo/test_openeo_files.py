"""Uploaded files come back as they were, and no path leads anywhere else."""

from __future__ import annotations

import pytest
from openeo_stage import is_error

DATA = bytes(range(256)) * 40


def test_a_file_is_uploaded_listed_downloaded_and_deleted(api, served):
    stored = api.put("/files/a/b/data.bin", content=DATA)
    assert stored.status_code == 200 and stored.json()["path"] == "a/b/data.bin" and stored.json()["size"] == len(DATA)
    assert (served.home / "workspace" / "a" / "b" / "data.bin").read_bytes() == DATA
    assert [item["path"] for item in api.get("/files").json()["files"]] == ["a/b/data.bin"]
    back = api.get("/files/a/b/data.bin")
    assert back.content == DATA and back.headers["content-type"] == "application/octet-stream"
    assert api.put("/files/a/b/data.bin", content=b"new").json()["size"] == 3
    assert api.get("/files/a/b/data.bin").content == b"new"
    is_error(api.get("/files/a/b"), 400, "FolderOperationUnsupported")
    is_error(api.put("/files/a/b", content=b""), 400, "FolderOperationUnsupported")
    assert api.delete("/files/a/b/data.bin").status_code == 204
    assert api.get("/files").json()["files"] == [] and not (served.home / "workspace" / "a").exists()
    for method in ("GET", "DELETE"):
        is_error(api.request(method, "/files/a/b/data.bin"), 404, "FileNotFound")


@pytest.mark.parametrize(
    "path",
    [
        "..%2Ftoken",
        "a%2F..%2F..%2Ftoken",
        "%2Fetc%2Fpasswd",
        "a%2F%2Fb",
        "a%5C..%5Ctoken",
        "c%3Atoken",
        "quote%27",
        "line%0Abreak",
        "nul%00",
        "x" * 300,
        ".incoming-1",
    ],
)
def test_a_path_that_is_none_is_refused(api, served, path):
    before = sorted(served.home.rglob("*"))
    for method in ("GET", "PUT", "DELETE"):
        answer = api.request(method, f"/files/{path}", content=b"evil")
        assert answer.status_code in (400, 404, 405), (method, path, answer.text)
        assert answer.json()["code"] in ("FilePathInvalid", "FileNotFound", "NotFound", "MethodNotAllowed")
    assert [path for path in sorted(served.home.rglob("*")) if "gemel.db" not in path.name] == [
        path for path in before if "gemel.db" not in path.name
    ]


def test_links_are_not_followed(api, served):
    folder = served.home / "workspace"
    folder.mkdir(exist_ok=True)
    (folder / "out").symlink_to(served.home)
    (folder / "token").symlink_to(served.home / "token")
    try:
        is_error(api.get("/files/out/token"), 400, "FilePathInvalid")
        is_error(api.put("/files/out/evil", content=b"x"), 400, "FilePathInvalid")
        is_error(api.get("/files/token"), 400, "FilePathInvalid")
        assert api.put("/files/token", content=b"x").status_code == 400
        assert api.delete("/files/token").status_code == 400
        assert api.get("/files").json()["files"] == []
    finally:
        for name in ("out", "token"):
            (folder / name).unlink()
    assert (served.home / "token").read_text().strip() == served.token and not (served.home / "evil").exists()


def test_a_file_that_is_too_large_leaves_nothing(api, served):
    is_error(api.put("/files/large.bin", content=b"x" * 1_000_001), 400, "FileSizeExceeded")
    is_error(api.put("/files/large.bin", content=iter([b"x" * 600_000] * 2)), 400, "FileSizeExceeded")
    assert api.get("/files").json()["files"] == []
    assert list((served.home / "workspace").rglob("*")) == []

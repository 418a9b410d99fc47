"""References to files, and files kept by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemel.base.errors import InvalidInput, NotFound, ResultCorrupt
from gemel.base.ids import digest_bytes
from gemel.infra.lake import ContentStore, locate


@pytest.fixture
def kept(tmp_path: Path) -> ContentStore:
    """Return an empty content store."""
    return ContentStore(tmp_path / "kept")


def test_what_is_put_lies_under_its_digest(kept):
    digest = kept.put(b"rain")
    assert digest == digest_bytes(b"rain")
    assert kept.verify(digest).read_bytes() == b"rain"
    assert kept.put(b"rain") == digest
    assert len([path for path in kept.folder.rglob("*") if path.is_file()]) == 1


def test_a_staged_file_is_moved_in_or_leaves_no_trace(kept):
    with kept.staged() as staging:
        staging.write_bytes(b"snow")
        digest = kept.put_file(staging)
    assert kept.verify(digest).read_bytes() == b"snow"
    with pytest.raises(ZeroDivisionError), kept.staged() as staging:
        staging.write_bytes(b"half")
        raise ZeroDivisionError
    assert [path.name for path in kept.folder.rglob("*") if path.is_file()] == [digest]


def test_a_changed_file_is_refused_and_removed(kept):
    digest = kept.put(b"rain")
    kept.path(digest).write_bytes(b"drought")
    with pytest.raises(ResultCorrupt, match="does not match"):
        kept.verify(digest)
    with pytest.raises(ResultCorrupt, match="cannot be read"):
        kept.verify(digest)
    assert kept.verify(kept.put(b"rain")).read_bytes() == b"rain"


def test_references_of_each_kind(tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("1")
    assert locate("a.csv", base=tmp_path) == tmp_path / "a.csv"
    assert locate(f"file:{tmp_path}/a.csv") == tmp_path / "a.csv"
    assert locate(str(tmp_path / "a.csv"), base=Path("/")) == tmp_path / "a.csv"
    monkeypatch.chdir(tmp_path)
    assert locate("a.csv") == tmp_path / "a.csv"
    assert locate("package:gemel/base/ids.py").name == "ids.py"


@pytest.mark.parametrize(
    ("reference", "error", "told"),
    [
        ("", InvalidInput, "empty"),
        ("  ", InvalidInput, "empty"),
        ("nowhere.csv", NotFound, "nowhere.csv"),
        (".", InvalidInput, "folder"),
        ("package:no_such_package/x", NotFound, "not installed"),
        ("package:../../etc/passwd", NotFound, "not installed"),
        ("package:gemel/../../../etc/passwd", InvalidInput, "leaves"),
        ("package:gemel/nothing.py", NotFound, "nothing.py"),
    ],
)
def test_what_cannot_be_found_is_told(tmp_path, reference, error, told):
    with pytest.raises(error, match=told):
        locate(reference, base=tmp_path)

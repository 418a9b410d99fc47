"""A Rucio storage element passes the suite of storages, as far as Rucio allows, over a file and over an HTTP protocol."""

from __future__ import annotations

import io
import itertools
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rucio_stage import DAV, DISK, SCOPE

from gemel.base.errors import ConfigInvalid, Conflict, InvalidInput, NotFound, ResultCorrupt
from gemel.infra.lake.rucio import Did, Protocol, RucioStorage
from gemel.infra.lake.storages import Storage
from gemel.testing import StorageContract

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("rucio")]
_NUMBERS = itertools.count()


class _Contract(StorageContract):
    rse = ""

    @pytest.fixture(autouse=True)
    def _place(self, stage) -> None:
        self.stage = stage

    def opened(self) -> Storage:
        # A scope of its own for each: what was once named in Rucio stays known there.
        scope = f"s{next(_NUMBERS)}-{self.rse[-3:].lower()}"
        self.stage.client.add_scope(scope)
        return RucioStorage("rucio", self.stage.options(self.rse, scope=scope))

    def test_writing_replaces_and_deleting_removes(self) -> None:
        """Rucio never gives a name to other bytes: writing anew is refused, and deleting is for Rucio to end."""
        storage = self.opened()
        self.put(storage, "file", b"rain")
        with pytest.raises(Conflict, match="already"):
            storage.write("file", io.BytesIO(b"snow"))
        assert storage.open("file").read() == b"rain"
        storage.delete("file")
        assert not storage.exists("file")
        assert list(storage.list()) == []
        with pytest.raises(Conflict, match="not done with 'file'"):
            storage.write("file", io.BytesIO(b"rain"))
        assert not storage.exists("file")

    def test_a_stream_that_fails_leaves_nothing_and_loses_nothing(self) -> None:
        """A broken write leaves nothing there, and nothing registered: the name is still free."""
        storage = self.opened()

        class Broken(io.RawIOBase):
            def read(self, size: int = -1, /) -> bytes:
                raise ConfigInvalid("The stream broke off.")

        with pytest.raises(ConfigInvalid, match="broke off"):
            storage.write("new", Broken(), 10)
        assert list(storage.list()) == []
        self.put(storage, "new", b"now whole")
        assert storage.open("new").read() == b"now whole"


class TestRseOnThisMachine(_Contract):
    rse = DISK


class TestRseBehindWebdav(_Contract):
    rse = DAV


def test_a_file_lies_where_rucio_says_and_is_known_there_with_both_digests(stage):
    storage = RucioStorage("disk", stage.options(DISK))
    content = b"a file that Rucio knows"
    storage.write(f"{SCOPE}/folder/known.txt", io.BytesIO(content))
    held = next(stage.client.replicas([Did(SCOPE, "folder/known.txt")]))
    assert held.size == len(content)
    assert held.digests["adler32"] == f"{zlib.adler32(content):08x}"
    assert set(held.digests) == {"adler32", "md5"}
    (place,) = held.places[DISK]
    assert place.startswith(f"file://localhost{stage.disk}/")
    assert stage.disk.joinpath(place.removeprefix(f"file://localhost{stage.disk}/")).read_bytes() == content


def test_what_the_catalogue_was_told_by_the_writer_is_no_second_opinion(stage):
    writer = RucioStorage("disk", stage.options(DISK))
    writer.write(f"{SCOPE}/opinion", io.BytesIO(b"Wikipedia"))
    assert writer.digest(f"{SCOPE}/opinion", "adler32") is None
    assert RucioStorage("disk", stage.options(DISK)).digest(f"{SCOPE}/opinion", "adler32") == "11e60398"


def test_a_file_that_is_shorter_than_rucio_says_is_not_read(stage):
    storage = RucioStorage("disk", stage.options(DISK))
    storage.write(f"{SCOPE}/cut", io.BytesIO(b"twelve bytes"))
    (place,) = next(stage.client.replicas([Did(SCOPE, "cut")])).places[DISK]
    stage.disk.joinpath(place.removeprefix(f"file://localhost{stage.disk}/")).write_bytes(b"twelve")
    with pytest.raises(ResultCorrupt, match="6 bytes, and Rucio says 12"):
        storage.open(f"{SCOPE}/cut")


def test_what_a_rule_holds_is_not_deleted(stage):
    storage, did = RucioStorage("disk", stage.options(DISK)), Did(SCOPE, "held")
    storage.write(f"{SCOPE}/held", io.BytesIO(b"kept"))
    stage.client.add_rule(did, 1, DISK)
    with pytest.raises(Conflict, match="locked"):
        storage.delete(f"{SCOPE}/held")
    assert storage.open(f"{SCOPE}/held").read() == b"kept"


def test_paths_that_name_no_file_of_rucio_are_refused(stage):
    storage = RucioStorage("disk", stage.options(DISK))
    for path in ("noscope", "a scope with blanks/file", f"{'s' * 26}/file", f"{SCOPE}/{'µ' * 100}"):
        with pytest.raises(InvalidInput):
            storage.stat(path)
    with pytest.raises(NotFound, match="Scope not found"):
        storage.write("no-such-scope/file", io.BytesIO(b"x"))
    assert not list(stage.disk.rglob("no-such-scope/**/file"))


def test_an_rse_without_a_way_that_can_be_gone_says_which_there_are(stage):
    options = {key: value for key, value in stage.options(DISK).items() if key != "files"}
    storage = RucioStorage("disk", options)
    with pytest.raises(ConfigInvalid, match="no way that can be used: file"):
        storage.write(f"{SCOPE}/unreached", io.BytesIO(b"x"))
    with pytest.raises(NotFound, match="RSE 'NOWHERE'"):
        RucioStorage("nowhere", stage.options("NOWHERE")).write(f"{SCOPE}/unreached", io.BytesIO(b"x"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"password": ""}, "sign in"),
        ({"user": "", "password": ""}, "sign in"),
        ({"password": "plain"}, "where the secret is"),
        ({"files": "perhaps"}, "neither yes nor no"),
        ({"url": "http://gemel:secret@127.0.0.1:1"}, "no passwords"),
        ({"rse": ""}, "needs the option 'rse'"),
        ({"scope": "no scope"}, "takes no scope"),
    ],
)
def test_options_that_cannot_be_are_refused(stage, change, reason):
    options = {key: value for key, value in (stage.options(DISK) | change).items() if value}
    with pytest.raises(InvalidInput, match=reason):
        RucioStorage("disk", options)


def test_an_rse_behind_xrootd_is_reached_over_tls_with_a_token_for_each_request(stage, xrootd_pair, lake):
    site, scope = xrootd_pair.a, "xrootd"
    parts = urlsplit(site.url)
    way = Protocol("davs", str(parts.hostname), int(parts.port or 0), f"{parts.path.rstrip('/')}/rucio/")
    stage.client.add_rse("XROOTD")
    stage.client.add_protocol("XROOTD", way)
    stage.client.add_scope(scope)
    lake.tokens.add("site-a", "macaroon", site.profile)
    secured = {"profile": "site-a", "ca": str(site.authority.file)}
    lake.storages.add("grid", "rucio", stage.server.options("XROOTD") | secured)
    storage, content = lake.storages.get("grid"), bytes(range(256)) * 1000
    storage.write(f"{scope}/folder/file.bin", io.BytesIO(content), len(content))
    assert storage.open(f"{scope}/folder/file.bin", 1000, 5).read() == content[1000:1005]
    # XRootD tells the digest of what lies there, which Rucio could not.
    assert storage.digest(f"{scope}/folder/file.bin", "adler32") == f"{zlib.adler32(content):08x}"
    (place,) = next(stage.client.replicas([Did(scope, "folder/file.bin")])).places["XROOTD"]
    assert place.startswith(f"davs://{parts.hostname}:{parts.port}{parts.path}")
    assert storage.signed(f"{scope}/folder/file.bin", 60) is None
    storage.delete(f"{scope}/folder/file.bin")
    assert not storage.exists(f"{scope}/folder/file.bin")


def test_a_name_is_free_again_once_the_reaper_has_been(stage):
    storage = RucioStorage("disk", stage.options(DISK))
    storage.write(f"{SCOPE}/reaped", io.BytesIO(b"rain"))
    storage.delete(f"{SCOPE}/reaped")
    stage.server.daemon("reaper", "--greedy", "--rses", DISK, "--chunk-size", "100")
    assert not list(stage.client.replicas([Did(SCOPE, "reaped")], DISK, every=True))
    storage.write(f"{SCOPE}/reaped", io.BytesIO(b"rain"))
    assert storage.open(f"{SCOPE}/reaped").read() == b"rain"
    # What lies there again is nobody's prey.
    stage.server.daemon("reaper", "--greedy", "--rses", DISK, "--chunk-size", "100")
    assert storage.open(f"{SCOPE}/reaped").read() == b"rain"


def test_other_bytes_than_rucio_knows_of_a_name_are_not_kept(stage):
    disk, dav = (RucioStorage("rse", stage.options(rse)) for rse in (DISK, DAV))
    disk.write(f"{SCOPE}/settled", io.BytesIO(b"rain"))
    with pytest.raises(ResultCorrupt, match="other bytes"):
        dav.write(f"{SCOPE}/settled", io.BytesIO(b"snow"))
    assert not dav.exists(f"{SCOPE}/settled")
    assert not list((stage.dav.folder / "rucio").rglob("settled"))
    dav.write(f"{SCOPE}/settled", io.BytesIO(b"rain"))
    assert dav.open(f"{SCOPE}/settled").read() == b"rain"


def test_what_was_written_and_never_registered_is_removed_by_its_name(stage):
    storage = RucioStorage("disk", stage.options(DISK))
    place = Path(stage.client.place(DISK, Did(SCOPE, "dark"), "file").removeprefix("file://localhost"))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"left by a killed process")
    with pytest.raises(NotFound):
        storage.delete(f"{SCOPE}/dark")
    assert not place.exists()

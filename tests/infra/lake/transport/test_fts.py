"""Jobs for a File Transfer Service, against a stand-in for it that copies between the real servers."""

from __future__ import annotations

import pytest
from fts_stand_in import FtsStandIn

from gemel.base.errors import Denied

pytestmark = pytest.mark.slow


@pytest.fixture
def fts(grid, tmp_path):
    made = FtsStandIn(str(grid.pair.authority.file))
    (tmp_path / "fts").write_text("fts-token")
    grid.add("served", "b", fts=made.url, fts_token=f"file:{tmp_path / 'fts'}")
    yield made
    made.close()


def test_the_service_copies_with_a_token_of_each_issuer(grid, fts, rain):
    record = grid.lake.datasets.put(rain, "a:b", storage="east")
    done = grid.lake.datasets.replicate("a:b", "served")
    assert done.way == "fts" and fts.url in done.reason
    (job,) = fts.jobs.values()
    (file,) = job["files"]
    assert file["filesize"] == rain.stat().st_size
    assert file["checksum"] == f"ADLER32:{record.digests['adler32'].value}"
    assert file["source_tokens"] != file["destination_tokens"]
    assert {item.outcome for item in grid.lake.datasets.verify(["a:b"])} == {"good"}


def test_a_job_that_fails_is_carried_another_way_with_the_reason_told(grid, fts, rain):
    fts.broken = "TRANSFER [70] no route to host"
    grid.lake.datasets.put(rain, "a:b", storage="east")
    done = grid.lake.datasets.replicate("a:b", "served")
    assert done.way == "pull" and "no route to host" in done.reason


def test_a_service_that_denies_is_not_gone_round(grid, fts, rain, tmp_path):
    (tmp_path / "fts").write_text("wrong")
    grid.lake.datasets.put(rain, "a:b", storage="east")
    with pytest.raises(Denied, match="transfer service"):
        grid.lake.datasets.copy("a:b", "served")
    assert fts.jobs == {} or all("unmanaged_tokens" in job["params"] for job in fts.jobs.values())


def test_a_transfer_that_is_stopped_takes_its_job_with_it(grid, fts, rain):
    grid.lake.datasets.put(rain, "a:b", storage="east")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grid.lake.datasets.replicate("a:b", "served", stop)
    assert "DELETE" in fts.asked
    assert len(grid.lake.datasets.get("a:b").replicas) == 1

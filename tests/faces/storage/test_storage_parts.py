"""What the element is made of, where a request would not show it: bounded memory, and places that cannot escape."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gemel.base.errors import GemelError
from gemel.faces.storage._digests import Digests, digests_in
from gemel.faces.storage._flow import Broken, Inflow
from gemel.faces.storage._places import destination_of, spot_of
from gemel.faces.storage._tree import Node
from gemel.infra.lake.storages import LocalStorage

_PIECE = bytes(1 << 20)


@given(st.text(st.sampled_from("a./\\%2eEfF5cC0é ~\0-writing"), max_size=40))
@example("a/%2e%2e/%2E%2E/x")
@example("..;/x")
def test_whatever_is_written_lies_below_the_storage(path: str) -> None:
    try:
        spot = spot_of(f"/dav/home/{path}")
    except GemelError:
        return
    folder = Path("/srv/data")
    assert spot.storage == "home" and "//" not in spot.path
    if spot.path:
        place = LocalStorage("home", {"folder": str(folder)}).path(spot.path)
        assert place.is_relative_to(folder) and place != folder
    assert spot_of(spot.href(spot.path, folder=spot.slash)) == spot


@given(st.text(max_size=60))
def test_a_destination_is_ours_or_not_or_none(header: str) -> None:
    try:
        spot = destination_of(header, "127.0.0.1:8400")
    except GemelError:
        return
    assert spot is None or ".." not in spot.path.split("/")


@given(st.dictionaries(st.sampled_from(["digest", "repr-digest", "content-md5"]), st.text(max_size=80)))
def test_digests_that_are_nonsense_count_as_not_told(headers: dict[str, str]) -> None:
    assert set(digests_in(headers)) <= {"adler32", "md5", "sha256"}


def test_a_body_that_nobody_reads_is_not_taken_in() -> None:
    taken = 0

    async def receive() -> dict[str, object]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": _PIECE, "more_body": taken < 50}

    async def main() -> None:
        flow = Inflow(1.0)
        filling = asyncio.create_task(flow.fill(receive))
        for _ in range(100):
            await asyncio.sleep(0)
        # 4 MiB wait at most: the rest stays with the client.
        assert taken == 4
        sizes = await asyncio.to_thread(lambda: [len(piece) for piece in iter(lambda: flow.read(3_000_000), b"")])
        await filling
        assert sum(sizes) == 50 * len(_PIECE) and set(sizes[:-1]) == {3_000_000}

    asyncio.run(main())


def test_whoever_reads_is_told_that_the_client_is_gone() -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def main() -> None:
        flow = Inflow(5.0)
        await flow.fill(receive)
        with pytest.raises(Broken):
            await asyncio.to_thread(flow.read, 1)

    asyncio.run(main())


def test_digests_are_kept_of_so_many_versions_and_no_more() -> None:
    digests = Digests(kept=3)
    for number in range(5):
        digests.remember("s", Node("f", False, version=str(number)), {"md5": f"{number}"})
    known = [digests.known("s", Node("f", False, version=str(number))) for number in range(5)]
    assert known == [{}, {}, {"md5": "2"}, {"md5": "3"}, {"md5": "4"}]
    assert digests.known("other", Node("f", False, version="4")) == {}

"""The queue of transfers: what is asked once is done once, by one worker, in the order of priorities."""

from __future__ import annotations

import threading
import time

import pytest

from gemel.base.errors import Denied, NotFound
from gemel.infra.lake.datasets import Name


def added(lake, text: str, storage: str = "archive", **options):
    (transfer,) = lake.queue.add([(Name.parse(text), 3)], storage, **options)
    return transfer


def test_asking_twice_is_one_transfer_with_the_higher_priority(any_lake):
    first = added(any_lake, "a:b")
    again = added(any_lake, "a:b", priority=5, only=True)
    assert again.id == first.id and again.priority == 5 and again.only
    assert added(any_lake, "a:b", "home").id != first.id
    held = any_lake.queue.claim("w", 60)
    assert held.id == first.id and held.state == "running" and held.attempts == 1
    assert added(any_lake, "a:b").id == first.id
    assert any_lake.queue.end(held, "done")
    assert added(any_lake, "a:b").id != first.id


def test_higher_priorities_come_first_then_the_older(any_lake):
    low, high, later = added(any_lake, "a:1"), added(any_lake, "a:2", priority=9), added(any_lake, "a:3")
    assert [any_lake.queue.claim("w", 60).id for _ in range(3)] == [high.id, low.id, later.id]
    assert any_lake.queue.claim("w", 60) is None


def test_a_hundred_transfers_are_taken_once_each_by_eight_workers(any_lake):
    any_lake.queue.add([(Name("a", str(number)), 1) for number in range(100)], "archive")
    taken: list[str] = []

    def worker(name: str) -> None:
        while (found := any_lake.queue.claim(name, 60)) is not None:
            taken.append(found.id)
            any_lake.queue.end(found, "done")

    threads = [threading.Thread(target=worker, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A worker of PostgreSQL leaves when all that is left is being looked at by others: the rest is still there.
    while (found := any_lake.queue.claim("last", 60)) is not None:
        taken.append(found.id)
        any_lake.queue.end(found, "done")
    assert len(taken) == len(set(taken)) == 100


def test_who_fell_silent_loses_the_transfer_and_is_told(any_lake):
    added(any_lake, "a:b")
    silent = any_lake.queue.claim("silent", lease=-1)
    taken = any_lake.queue.claim("other", lease=60)
    assert taken.id == silent.id and taken.attempts == 2
    assert not any_lake.queue.beat(silent, 60, moved=1)
    assert not any_lake.queue.end(silent, "done")
    assert any_lake.queue.beat(taken, 60, moved=1)
    assert any_lake.queue.get(taken.id).moved == 1


def test_a_transfer_that_is_to_be_tried_later_waits(any_lake):
    added(any_lake, "a:b")
    held = any_lake.queue.claim("w", 60)
    assert any_lake.queue.again(held, 100, '{"code": "store.unavailable"}')
    assert any_lake.queue.claim("w", 60) is None
    due = any_lake.queue.next_due()
    assert due is not None and 90 < due - time.time() <= 100
    assert any_lake.queue.next_due(["nothing"]) is None


def test_what_is_cancelled_is_not_begun_and_what_runs_is_told(any_lake):
    waiting, running = added(any_lake, "a:1"), added(any_lake, "a:2", priority=1)
    held = any_lake.queue.claim("w", 60)
    assert held.id == running.id
    assert any_lake.queue.cancel(waiting.id).state == "cancelled"
    assert any_lake.queue.cancel(running.id).state == "running"
    assert not any_lake.queue.beat(held, 60, 0)
    assert any_lake.queue.claim("w", 60) is None
    with pytest.raises(NotFound):
        any_lake.queue.cancel("transfer-nothing")


def test_requests_are_refused_before_they_are_queued(any_lake, rain, tmp_path):
    any_lake.datasets.put(rain, "a:b")
    with pytest.raises(NotFound):
        any_lake.mover.request(["a:nothing"], "archive")
    with pytest.raises(NotFound):
        any_lake.mover.request(["a:b"], "archiv")
    any_lake.storages.add("web", "http", {"url": "http://127.0.0.1:9/data"})
    with pytest.raises(Denied, match="only read"):
        any_lake.mover.request(["a:b"], "web")
    assert any_lake.queue.list() == []

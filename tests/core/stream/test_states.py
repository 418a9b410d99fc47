"""What a twin knows and when: versions that grow by one, one for each cause, whoever writes them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from gemel.core.stream import StateStore
from gemel.infra.store import open_store

START = datetime(2001, 1, 1, tzinfo=UTC)


def save(states: StateStore, cause: int, twin: str = "brook", **document):
    return states.save(twin, START + timedelta(days=cause), f"run-{cause}", cause, document)


def test_versions_count_up_and_keep_what_they_were(store):
    states = StateStore(store)
    assert states.latest("brook") is None and states.history("brook", 5) == []
    first = save(states, 3, level=1.5)
    second = save(states, 7, level=2.5)
    assert (first.sequence, second.sequence) == (1, 2)
    latest = states.latest("brook")
    assert latest == second
    assert (latest.valid, latest.run, latest.cause) == (START + timedelta(days=7), "run-7", 7)
    assert dict(latest.document) == {"level": 2.5} and latest.known > START
    assert [state.sequence for state in states.history("brook", 5)] == [1, 2]
    assert [state.sequence for state in states.history("brook", 1)] == [2]


def test_a_cause_makes_one_version_and_an_earlier_one_none(store):
    states = StateStore(store)
    save(states, 5)
    assert save(states, 5) is None
    assert save(states, 4) is None
    assert save(states, 6).sequence == 2


def test_twins_do_not_mix(store):
    states = StateStore(store)
    save(states, 5)
    assert save(states, 1, twin="river").sequence == 1
    states.forget("brook")
    assert states.latest("brook") is None and states.latest("river").sequence == 1


def test_what_was_known_of_a_day_can_be_asked_later(store):
    states = StateStore(store)
    for cause in (2, 4, 6):
        save(states, cause)
    known = {day: states.as_of("brook", START + timedelta(days=day)) for day in (1, 2, 3, 6, 100)}
    assert known[1] is None
    assert [known[day].cause for day in (2, 3, 6, 100)] == [2, 2, 6, 6]


def test_writers_at_once_make_each_version_once(store, store_url):
    stores = [open_store(store_url) for _ in range(2)]
    with ThreadPoolExecutor(4) as pool:
        saved = list(
            pool.map(lambda number: save(StateStore(stores[number % 2]), number // 4 + 1, number=number), range(80))
        )
    for opened in stores:
        opened.close()
    versions = StateStore(store).history("brook", 100)
    assert [state.sequence for state in versions] == list(range(1, len(versions) + 1))
    causes = [state.cause for state in versions]
    assert causes == sorted(set(causes)) and causes[-1] == 20
    assert sum(state is not None for state in saved) == len(versions)

"""What was believed of an instant, and when: states in two times, beside a plain list that is searched by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.core.stream import StateStore
from gemel.core.stream.states import _state
from gemel.infra.store import open_store

START = datetime(2001, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


@pytest.fixture
def known_at(monkeypatch):
    """Return a function that sets the engine's clock."""

    def set_clock(instant: datetime) -> None:
        monkeypatch.setattr(_state.time, "time", instant.timestamp)

    return set_clock


def test_a_state_says_what_brought_it_about_and_how_uncertain_it_is(store):
    states = StateStore(store)
    uncertainty = {
        "level": {"standard_error": 0.02, "unit": "m"},
        "flow": {"q05": 1.0, "q95": float("nan"), "unit": "m3/s"},
    }
    states.save("brook", day(1), "r1", 1, {}, source="/twins/brook/gauge", uncertainty=uncertainty)
    plain = states.save("brook", day(2), "r2", 2, {})
    first, second = states.history("brook", 2)
    assert first.source == "/twins/brook/gauge" and first.uncertainty["level"] == {"standard_error": 0.02, "unit": "m"}
    assert first.uncertainty["flow"]["q95"] is None
    assert second == plain and second.source is None and list(second.uncertainty) == ["unknown"]


def test_an_uncertainty_that_is_not_json_and_an_endless_source_are_refused(store):
    states = StateStore(store)
    for broken in ({"uncertainty": {"level": object()}}, {"source": "/" * 301}):
        with pytest.raises(InvalidInput):
            states.save("brook", day(1), "r", 1, {}, **broken)
    assert states.latest("brook") is None


def test_causes_of_two_sources_come_in_any_order_and_each_makes_one_version(store):
    states = StateStore(store)
    given = [("/rain", 5), ("/gauge", 3), ("/rain", 5), ("/gauge", 2), ("/rain", 4), ("/gauge", 6)]
    saved = [states.save("brook", day(1), "r", cause, {}, source=source) is not None for source, cause in given]
    assert saved == [True, True, False, False, False, True]
    assert [state.sequence for state in states.history("brook", 9)] == [1, 2, 3]


def test_what_is_believed_now_of_a_day_and_what_was_believed_then(store, known_at):
    states = StateStore(store)
    for cause, (valid, known) in enumerate([(1, 1), (2, 2), (1, 3), (3, 4)], 1):  # the third corrects the first
        known_at(day(known))
        states.save("brook", day(valid), f"r{cause}", cause, {})
    assert states.as_of("brook", day(1.5)).cause == 3
    assert states.as_of("brook", day(1.5), known=day(2.5)).cause == 1
    assert states.as_of("brook", day(2)).cause == 2
    assert states.as_of("brook", day(9), known=day(3)).cause == 2
    assert states.as_of("brook", day(9), known=day(0.5)) is None
    assert [state.cause for state in states.history("brook", 9, begin=day(2), end=day(3))] == [2, 4]
    assert [state.cause for state in states.history("brook", 2, known=day(3))] == [2, 3]


def test_what_comes_later_is_known_later_though_the_clock_is_set_back(store, known_at):
    states = StateStore(store)
    known_at(day(5))
    first = states.save("brook", day(1), "r1", 1, {})
    known_at(day(4))
    second = states.save("brook", day(2), "r2", 2, {})
    assert second.known == first.known == day(5)
    assert states.as_of("brook", day(9), known=second.known) == second


VERSIONS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=15)
QUESTIONS = st.tuples(*[st.none() | st.integers(-1, 30)] * 4)


@settings(max_examples=25)
@given(VERSIONS, st.lists(QUESTIONS, min_size=1, max_size=6))
def test_every_question_has_the_answer_of_a_search_by_hand(tmp_path_factory, versions, questions):
    clock = pytest.MonkeyPatch()
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('states') / 'gemel.db'}")
    states, model, now = StateStore(store), [], 0
    for cause, (valid, later) in enumerate(versions, 1):
        now += later
        clock.setattr(_state.time, "time", day(now).timestamp)
        model.append(states.save("brook", day(valid), f"r{cause}", cause, {"n": cause}))
    clock.undo()
    for valid, known, begin, end in questions:
        by_then = [state for state in model if known is None or state.known <= day(known)]
        among = [state for state in by_then if valid is not None and state.valid <= day(valid)]
        expected = max(among, key=lambda state: (state.valid, state.sequence), default=None)
        instants = [None if number is None else day(number) for number in (known, begin, end)]
        if valid is not None:
            assert states.as_of("brook", day(valid), instants[0]) == expected
        inside = [
            s for s in by_then if (begin is None or s.valid >= day(begin)) and (end is None or s.valid <= day(end))
        ]
        found = states.history("brook", 4, known=instants[0], begin=instants[1], end=instants[2])
        assert list(found) == inside[-4:]
    store.close()

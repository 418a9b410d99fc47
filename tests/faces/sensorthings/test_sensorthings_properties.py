"""Whatever is asked of a set, with whatever pages: the answer is the plain list, filtered and ordered in Python."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sensorthings_stage import api, fill, followed, served, stamp

from gemel.base.clock import parse_instant

__all__ = ["api", "served"]
COUNT = 60
Passes = Callable[[datetime, Any], bool]
PATH = "Datastreams('heap:meter:value')/Observations"


def _readings() -> list[tuple[int, Any]]:
    chance = random.Random(5)
    kinds = [None, True, False, "a", "b'c", -1, 0, 1, 2, 2.5, 3]
    return [(chance.randrange(20), chance.choice(kinds)) for _ in range(COUNT)]


READINGS = _readings()


@pytest.fixture(scope="module")
def heap(served, api):
    fill(served.service.engine, READINGS)
    return api


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _against_number(word: str, bound: float) -> tuple[str, Passes]:
    tests: dict[str, Passes] = {
        "gt": lambda _, value: _is_number(value) and value > bound,
        "ge": lambda _, value: _is_number(value) and value >= bound,
        "lt": lambda _, value: _is_number(value) and value < bound,
        "le": lambda _, value: _is_number(value) and value <= bound,
        "eq": lambda _, value: _is_number(value) and value == bound,
        "ne": lambda _, value: not (_is_number(value) and value == bound),
    }
    return f"result {word} {bound}", tests[word]


def _against_time(word: str, minute: int) -> tuple[str, Passes]:
    bound = parse_instant(stamp(minute))
    tests: dict[str, Passes] = {
        "gt": lambda time, _: time > bound,
        "ge": lambda time, _: time >= bound,
        "lt": lambda time, _: time < bound,
        "le": lambda time, _: time <= bound,
        "eq": lambda time, _: time == bound,
        "ne": lambda time, _: time != bound,
    }
    return f"phenomenonTime {word} {stamp(minute)}", tests[word]


WORDS = st.sampled_from(["gt", "ge", "lt", "le", "eq", "ne"])
ATOMS = st.one_of(
    st.builds(_against_number, WORDS, st.sampled_from([-2, -1, 0, 1, 2.5, 3, 7])),
    st.builds(_against_time, WORDS, st.integers(-1, 21)),
    st.just(("result eq null", lambda _, value: value is None)),
    st.just(("result eq 'b''c'", lambda _, value: value == "b'c")),
    st.just(("result eq true", lambda _, value: value is True)),
    st.just(("minute(phenomenonTime) mod 2 eq 0", lambda time, _: time.minute % 2 == 0)),
    st.just(("result mul 2 gt 3", lambda _, value: _is_number(value) and value * 2 > 3)),
)


def _both(one: tuple[str, Passes], other: tuple[str, Passes]) -> tuple[str, Passes]:
    return f"({one[0]}) and ({other[0]})", lambda *seen: one[1](*seen) and other[1](*seen)


def _either(one: tuple[str, Passes], other: tuple[str, Passes]) -> tuple[str, Passes]:
    return f"{one[0]} or ({other[0]})", lambda *seen: one[1](*seen) or other[1](*seen)


def _not(one: tuple[str, Passes]) -> tuple[str, Passes]:
    return f"not ({one[0]})", lambda *seen: not one[1](*seen)


FILTERS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(st.builds(_both, inner, inner), st.builds(_either, inner, inner), st.builds(_not, inner)),
    max_leaves=5,
)
ORDERS = st.lists(
    st.tuples(st.sampled_from(["result", "phenomenonTime", "minute(phenomenonTime) mod 3"]), st.booleans()), max_size=3
)


def _rank(value: Any) -> tuple[int, Any]:
    """Null first, then truths, numbers, texts."""
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 1, value
    return (2, value) if _is_number(value) else (3, value)


def _key(name: str, time: datetime, value: Any) -> Any:
    if name == "result":
        return _rank(value)
    return time if name == "phenomenonTime" else time.minute % 3


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=FILTERS, order=ORDERS, top=st.integers(1, 25), skip=st.integers(0, 12))
def test_filter_order_and_pages_are_those_of_the_plain_list(heap, wanted, order, top, skip):
    text, passes = wanted
    plain = [(parse_instant(stamp(minute)), value, number) for number, (minute, value) in enumerate(READINGS)]
    expected = [item for item in plain if passes(item[0], item[1])]
    for name, down in reversed(order):
        # Sorting keeps the order of equals: reversed twice, so that they stay as they come.
        turned = expected[::-1] if down else expected
        turned = sorted(turned, key=lambda item, name=name: _key(name, item[0], item[1]))
        expected = turned[::-1] if down else turned
    options: dict[str, Any] = {"filter": text, "top": top, "skip": skip}
    if order:
        options["orderby"] = ",".join(f"{name} {'desc' if down else 'asc'}" for name, down in order)
    found = followed(heap, PATH, **options)
    numbers = [int(item["parameters"]["event"].removeprefix("o-")) for item in found]
    assert numbers == [number for *_, number in expected[skip:]]

"""Versions for ever, one champion at a time, promotion through the gate, the way back in one verb."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import numpy as np
import pytest

from gemel.base.errors import CheckFailed, Conflict, InvalidInput, NotFound, ResultCorrupt
from gemel.core.learn.models import Bundle, Description
from gemel.core.learn.registry import ModelRegistry, Verdict, parse_reference
from gemel.infra.lake import ContentStore
from gemel.infra.store import open_store

ABOUT = Description.read({"kind": "mlp", "inputs": {"rain": "mm"}, "outputs": {"flow": "m3 s-1"}})
GOOD = [Verdict("better", True, 0.1, 0.0, "it is")]
BAD = [Verdict("better", False, -0.1, 0.0, "it is not")]


@pytest.fixture
def registry(store_url, tmp_path):
    store = open_store(store_url)
    yield ModelRegistry(store, ContentStore(tmp_path / "models"))
    store.close()


def bundle(weight):
    return Bundle(ABOUT, {"layers/0": np.full((2, 3), float(weight))}, {"metrics": {"rmse": 1.0 / weight}})


def promoted(registry, *weights):
    for weight in weights:
        version = registry.register("level", bundle(weight))
        registry.judge("level", version.number, GOOD)
        registry.promote("level", version.number, f"weight {weight}")


def test_a_model_that_answers_alike_is_the_version_that_is_known(registry):
    first, second = registry.register("level", bundle(1)), registry.register("level", bundle(2))
    assert (first.number, second.number, registry.register("level", bundle(1)).number) == (1, 2, 1)
    again = registry.bundle("level@2")
    np.testing.assert_array_equal(again.arrays["layers/0"], bundle(2).arrays["layers/0"])
    assert again.digest == second.digest and again.description == ABOUT


def test_nothing_is_promoted_without_a_judgement_that_passed(registry):
    registry.register("level", bundle(1))
    with pytest.raises(CheckFailed, match="not been judged"):
        registry.promote("level", 1)
    registry.judge("level", 1, BAD)
    with pytest.raises(CheckFailed, match="did not pass: better"):
        registry.promote("level", 1)
    registry.judge("level", 1, [])
    with pytest.raises(CheckFailed):
        registry.promote("level", 1)
    registry.judge("level", 1, GOOD)
    assert registry.promote("level", 1, "at last").version == registry.holder("level", "champion") == 1


def test_the_way_back_goes_through_all_earlier_champions(registry):
    promoted(registry, 1, 2, 3)
    assert registry.rollback("level", "three is bad").version == 2
    assert registry.rollback("level").version == 1
    with pytest.raises(Conflict, match="no earlier champion"):
        registry.rollback("level")
    promoted(registry, 4)
    assert registry.rollback("level").version == 1


def test_history_tells_who_was_in_service_when(registry):
    before = datetime.now(UTC)
    promoted(registry, 1)
    between = datetime.now(UTC)
    promoted(registry, 2)
    registry.rollback("level", "worse in floods")
    told = registry.history("level")
    assert [(item.version, item.verb) for item in told] == [(1, "rollback"), (2, "promote"), (1, "promote")]
    assert told[0].until is None and told[1].until == told[0].since and told[0].why == "worse in floods"
    assert registry.at("level", before) is None and registry.at("level", between).number == 1


def test_references_mean_what_they_say(registry):
    promoted(registry, 1, 2)
    registry.assign("level", "shadow", 1)
    assert registry.get("level").number == registry.get("level@champion").number == 2
    assert registry.get("level@shadow").number == 1
    pinned = registry.pin("level@champion")
    promoted(registry, 3)
    assert registry.get(pinned).number == 2 and parse_reference(pinned)[1] == "2"
    for wrong, error in (
        ("level@9", NotFound),
        ("none", NotFound),
        ("level@challenger", NotFound),
        ("a b", InvalidInput),
    ):
        with pytest.raises(error):
            registry.get(wrong)
    with pytest.raises(Conflict, match="digest"):
        registry.get("level@1#00000000")
    with pytest.raises(InvalidInput, match="not an alias"):
        registry.assign("level", "champion", 1)


def test_a_damaged_model_is_not_loaded(registry, tmp_path):
    version = registry.register("level", bundle(1))
    path = ContentStore(tmp_path / "models").path(version.content)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ResultCorrupt):
        registry.load("level@1")


def test_many_register_and_promote_at_once_and_one_is_champion(registry):
    failures = []

    def work(weight):
        try:
            promoted(registry, weight)
        except Exception as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert sorted(item.number for item in registry.versions("level")) == list(range(1, 9))
    assert len([item for item in registry.history("level") if item.until is None]) == 1


def test_changes_are_told(registry):
    told = []
    registry.told = lambda what, name, document: told.append((what, name, document.get("version")))
    promoted(registry, 1, 2)
    registry.register("level", bundle(2))
    registry.promote("level", 2)
    registry.rollback("level")
    kinds = ["registered", "judged", "promoted"] * 2 + ["rolled-back"]
    assert told == [(kind, "level", version) for kind, version in zip(kinds, [1] * 3 + [2] * 3 + [1], strict=True)]


@pytest.mark.parametrize("name", ["Level", "a.b.c", "", "x@1", "../x"])
def test_names_that_are_none_are_refused(registry, name):
    with pytest.raises(InvalidInput):
        registry.register(name, bundle(1))

"""The search finds known optima, prunes what is hopeless, and goes on after its processes were killed."""

from __future__ import annotations

import json
import math
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search_stage import BRANIN, LEAST, branin, once, suicide

from gemel.base.errors import Diverged, InvalidInput, StepFailed
from gemel.core.graph._progress import Cancelled, StepContext, inside
from gemel.core.learn.search import Found, SearchSpace, search
from stage import until
from zygote import Zygote, forking

Report = Callable[[int, float], None]


@pytest.mark.parametrize(("sampler", "trials", "off"), [("tpe", 80, 0.5), ("gp", 30, 0.01)])
def test_it_finds_the_least_value_of_branin(sampler: str, trials: int, off: float) -> None:
    found = search(branin, BRANIN, trials=trials, sampler=sampler, seed=1)
    # The function reaches 308; random points come within 0.5 of the least value once in about 130.
    assert LEAST - 1e-6 <= found.score < LEAST + off
    assert branin(dict(found.values), lambda _step, _score: None) == found.score
    assert len(found.history) == trials
    assert found.score == min(trial.score for trial in found.history if trial.score is not None)


def test_it_can_maximise_over_choices_and_whole_numbers() -> None:
    space = {
        "options.hidden": {"choices": [[16], [32, 32], {"width": 8}, None]},
        "layers": {"low": 1, "high": 4},
        "rate": {"low": 1e-4, "high": 1e-1, "log": True},
    }

    def evaluate(values: dict[str, Any], _report: Report) -> float:
        assert type(values["layers"]) is int
        assert values["options.hidden"] in space["options.hidden"]["choices"]
        return (values["options.hidden"] == [32, 32]) + values["layers"] - abs(math.log10(values["rate"]) + 2)

    found = search(evaluate, space, trials=60, direction="maximize", seed=2)
    assert (found.values["options.hidden"], found.values["layers"]) == ([32, 32], 4)
    # The best of 60 draws of a log-uniform number over three decades, after the choice is made.
    assert 4.5 < found.score <= 5.0


def test_the_same_seed_draws_the_same_and_another_seed_others() -> None:
    first, again, other = (search(branin, BRANIN, trials=15, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.history[0].values != other.history[0].values


def _learning_curve(values: dict[str, Any], report: Report) -> float:
    for step in range(10):
        report(step, values["x"] + 1.0 / (step + 1))
    return float(values["x"])


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_hopeless_trials_are_pruned(pruner: str) -> None:
    space = {"x": {"low": 0.0, "high": 1.0}}
    found = search(_learning_curve, space, trials=40, pruner=pruner, sampler="random", seed=4)
    states = Counter(trial.state for trial in found.history)
    assert states["pruned"] >= 5
    assert states["complete"] + states["pruned"] == 40
    cut = [trial for trial in found.history if trial.state == "pruned"]
    assert sum(len(trial.reports) < 10 for trial in cut) >= 5
    assert all(trial.score == trial.reports[max(trial.reports)] for trial in cut)
    whole = search(_learning_curve, space, trials=40, pruner="none", sampler="random", seed=4)
    assert {trial.state for trial in whole.history} == {"complete"}
    # Curves never cross: what is pruned would have been worse than what was found, and the draws do not depend on it.
    assert whole.values == found.values
    assert [trial.values for trial in whole.history] == [trial.values for trial in found.history]


def test_trials_that_diverge_count_and_are_told() -> None:
    def evaluate(values: dict[str, Any], _report: Report) -> float:
        if values["x"] > 0.5:
            raise Diverged("The loss is no number.")
        return math.nan if values["x"] < 0.1 else float(values["x"])

    found = search(evaluate, {"x": {"low": 0.0, "high": 1.0}}, trials=30, sampler="random", seed=0)
    failed = [trial for trial in found.history if trial.state == "failed"]
    assert len(found.history) == 30
    assert {trial.error for trial in failed} == {"Diverged: The loss is no number.", "Diverged: The score is nan."}
    assert 0.1 <= found.score <= 0.5
    with pytest.raises(StepFailed, match="None of 3 trials"):
        search(evaluate, {"x": {"low": 0.6, "high": 1.0}}, trials=3)


def test_an_error_of_ones_own_comes_through_and_the_trial_is_tried_again(tmp_path: Path) -> None:
    storage = tmp_path / "search.db"

    def broken() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        search(once(tmp_path / "flag", 4, broken), BRANIN, trials=8, storage=storage)
    assert search(branin, BRANIN, trials=8, storage=storage) == search(branin, BRANIN, trials=8)


def test_a_cancelled_run_ends_the_search_between_trials(tmp_path: Path) -> None:
    context = StepContext("run-1", "search")
    with inside(context), pytest.raises(Cancelled):
        search(once(tmp_path / "flag", 3, context.cancelled.set), BRANIN, trials=50, storage=tmp_path / "s.db")
    assert len(search(branin, BRANIN, trials=3, storage=tmp_path / "s.db").history) == 3


@pytest.mark.parametrize("file", ["search.db", "search.journal"])
def test_more_trials_go_on_in_the_same_storage(tmp_path: Path, file: str) -> None:
    storage = tmp_path / "new" / file
    assert len(search(branin, BRANIN, trials=6, storage=storage).history) == 6
    more = search(branin, BRANIN, trials=12, storage=storage)
    assert more == search(branin, BRANIN, trials=12)
    assert search(branin, BRANIN, trials=12, storage=storage) == more


def test_optuna_itself_reads_the_storage(tmp_path: Path) -> None:
    found = search(branin, BRANIN, trials=5, storage=tmp_path / "search.db", name="mine")
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path / 'search.db'}")
    assert study.best_value == found.score
    assert study.best_params == dict(found.values)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 7}, "seed: 0 -> 7"),
        ({"pruner": "none"}, "pruner: median -> none"),
        ({"space": {"x": {"low": -5.0, "high": 1.0}, "y": {"low": 0.0, "high": 15.0}}}, "space: "),
    ],
)
def test_another_search_of_the_same_name_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    storage = tmp_path / "search.journal"
    search(branin, BRANIN, trials=2, storage=storage)
    with pytest.raises(InvalidInput, match=told):
        search(branin, **({"space": BRANIN, "trials": 2, "storage": storage} | changes))
    assert len(search(branin, BRANIN, trials=2, storage=storage).history) == 2


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({}, "nothing to search"),
        ({"x": [1, 2]}, "'x' of a search is a table"),
        ({"x": {"low": 1.0}}, "lacks 'high'"),
        ({"x": {"low": 2.0, "high": 1.0}}, "'x' of a search cannot be"),
        ({"x": {"low": -1.0, "high": 1.0, "log": True}}, "'x' of a search cannot be"),
        ({"x": {"lo": 1.0, "high": 2.0}}, "no 'lo'"),
        ({"x": {"choices": []}}, "'x' of a search cannot be"),
    ],
)
def test_spaces_that_cannot_be_are_refused_by_name(space: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        search(branin, space, trials=1)


@pytest.mark.parametrize(
    "changes", [{"trials": 0}, {"workers": 2}, {"pruner": "fast"}, {"direction": "up"}, {"sampler": "best"}]
)
def test_options_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        search(branin, BRANIN, **({"trials": 1} | changes))


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(choices=st.lists(_JSON, min_size=1, max_size=4), chosen=st.integers(0, 3))
def test_choices_come_back_as_they_were_given(choices: list[Any], chosen: int) -> None:
    space = SearchSpace.read({"a": {"choices": choices}})
    values = {"a": choices[chosen % len(choices)]}
    assert space.values(space.drawn(values)) == values


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with forking(str(Path(__file__).with_name("search_life.py"))) as process:
        yield process


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("file", ["search.db", "search.journal"])
def test_after_a_kill_it_finds_what_it_would_have_found(tmp_path: Path, zygote: Zygote, file: str) -> None:
    storage = tmp_path / file
    killed = zygote.start(str(storage), "25", "14")
    until(Path(f"{storage}.flag").exists)
    assert zygote.kill(killed) == -signal.SIGKILL
    assert zygote.reap(zygote.start(str(storage), "25", "14")) == 0
    again = json.loads(Path(f"{storage}.json").read_text())
    whole = search(branin, BRANIN, trials=25, seed=3)
    assert again == [[dict(trial.values), trial.state, trial.score] for trial in whole.history]


@pytest.mark.slow
@pytest.mark.chaos
def test_workers_share_a_search_and_survive_each_other(tmp_path: Path) -> None:
    storage = tmp_path / "search.db"
    evaluate = once(tmp_path / "flag", 3, suicide)
    found: Found = search(evaluate, BRANIN, trials=40, storage=storage, workers=2, sampler="random")
    assert (tmp_path / "flag").exists()
    assert len(found.history) == 40
    assert {trial.state for trial in found.history} == {"complete"}
    # Every point was tried once: the one that died with its process again, none twice.
    assert len({tuple(trial.values.values()) for trial in found.history}) == 40
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{storage}")
    lost = [trial for trial in study.trials if trial.state.name == "FAIL"]
    assert len(lost) == 1
    assert sum(trial.params == lost[0].params for trial in study.trials) == 2
    mine = f" {os.getpid()} "
    assert all(mine not in trial.user_attrs["process"] for trial in study.trials)
    with pytest.raises(StepFailed, match="ZeroDivisionError"):
        search(lambda values, report: 1 / 0, BRANIN, trials=45, storage=storage, workers=2, sampler="random")

"""The search: trials one after the other, or on several processes that share one storage."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import optuna
from optuna.trial import FrozenTrial

from gemel.base.errors import Diverged, InvalidInput, StepFailed
from gemel.core.graph import progress
from gemel.core.learn.search._sampler import FAILURE
from gemel.core.learn.search._space import SearchSpace
from gemel.core.learn.search._study import Ledger, Rules, values_of

#: Tells an intermediate score (step, score); ends the trial by an exception where it is hopeless.
Report = Callable[[int, float], None]
Evaluate = Callable[[dict[str, Any], Report], float]
_WORKER = "gemel.core.learn.search._worker"
_TAIL = 800  # characters of a worker's last words that are told


@dataclass(frozen=True)
class Trial:
    """One trial that ended.

    Attributes:
        values: What was tried, by name.
        state: `complete`, `pruned` or `failed`.
        score: What it came to; None where it failed; the last one told where it was pruned.
        reports: Scores told on the way, by step.
        error: Why it failed; empty where it did not.
    """

    values: Mapping[str, Any]
    state: str
    score: float | None
    reports: Mapping[int, float]
    error: str = ""


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        values: The best, by name.
        score: Theirs.
        history: All trials in the order in which they began.
    """

    values: Mapping[str, Any]
    score: float
    history: tuple[Trial, ...]


def search(  # noqa: PLR0913 - one call says all of a search, by name
    evaluate: Evaluate,
    space: SearchSpace | Mapping[str, Any],
    *,
    trials: int = 50,
    storage: Path | str | None = None,
    name: str = "search",
    seed: int = 0,
    sampler: str = "tpe",
    pruner: str = "median",
    direction: str = "minimize",
    workers: int = 1,
) -> Found:
    """Return the best values of a space, after trying `trials` of them.

    Called again with the same storage and name, it goes on: trials of processes that died are tried again with the
    values they had, and more `trials` add to those that are there. With one worker the draws are the same as if it had
    never been interrupted. A trial that diverges or comes to no finite score has failed and counts.

    Args:
        evaluate: Returns the score of values by name; may call `report(step, score)` on the way, which ends hopeless
            trials by an exception that is to be let through.
        space: What is varied, see `SearchSpace`.
        trials: How many are tried in all.
        storage: A file for SQLite (or, ending in `.journal`, a journal), a database URL, or None for memory alone.
        name: Of the search in the storage.
        seed: Of the draws.
        sampler: `tpe` (Bergstra et al. 2011), `gp` (a Gaussian process: better where evaluations are dear and few) or
            `random`.
        pruner: `median` (worse than the median of earlier trials at the same step), `hyperband` (Li et al. 2018) or `none`.
        direction: `minimize` or `maximize`.
        workers: Processes on this machine; more than one need a storage and an `evaluate` that can be sent to them.

    Raises:
        InvalidInput: The space or an option cannot be, or the storage holds another search of this name.
        StepFailed: A worker failed, or no trial came to a score.
    """
    read = space if isinstance(space, SearchSpace) else SearchSpace.read(space)
    if trials < 1 or workers < 1 or (workers > 1 and storage is None):
        raise InvalidInput("A search needs trials and workers of 1 or more, and a storage for more than one worker.")
    rules = Rules(read, name, seed, sampler, pruner, direction)
    ledger = Ledger.open(rules, storage)
    if workers == 1:
        work(ledger, evaluate, trials)
    else:
        _together(ledger, evaluate, trials, storage, workers)
    return _found(ledger)


def work(ledger: Ledger, evaluate: Evaluate, trials: int) -> None:
    """Try values until as many trials are done or under way."""
    while (trial := ledger.take(trials)) is not None:
        try:
            _try(ledger, trial, evaluate)
        except BaseException:
            with suppress(ValueError):  # it had been told already
                ledger.give_back(trial)
            raise
        progress(min(1.0, len(ledger.ended()) / trials), f"{len(ledger.ended())} of {trials} trials")


def _try(ledger: Ledger, trial: optuna.Trial, evaluate: Evaluate) -> None:
    def report(step: int, score: float) -> None:
        trial.report(score, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        score = float(evaluate(values_of(trial, ledger.rules.space), report))
        if not math.isfinite(score):
            raise Diverged(f"The score is {score}.")
    except optuna.TrialPruned:
        ledger.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    except Diverged as error:
        ledger.fail(trial, error)
    else:
        ledger.study.tell(trial, score)


def _together(ledger: Ledger, evaluate: Evaluate, trials: int, storage: Path | str | None, workers: int) -> None:
    with tempfile.TemporaryDirectory() as private:
        sent = Path(private) / "search.pkl"
        try:
            sent.write_bytes(cloudpickle.dumps((ledger.rules, storage, evaluate, trials)))
        except (TypeError, AttributeError, ValueError) as error:
            raise InvalidInput(f"This evaluation cannot be sent to other processes: {error}.") from error
        running: list[subprocess.Popen[bytes]] = []
        try:
            running.extend(_start(sent, Path(private) / f"{number}.log") for number in range(workers))
            _watch(running, ledger, trials, Path(private))
        finally:
            for worker in running:
                worker.kill()
                worker.wait()
                if worker.stdin is not None:
                    worker.stdin.close()


def _start(sent: Path, log: Path) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {"OMP_NUM_THREADS": "1"} | dict(os.environ) | {"PYTHONPATH": paths}
    with log.open("wb") as told:
        command = [sys.executable, "-m", _WORKER, str(sent)]
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=told, stderr=told)


def _watch(running: list[subprocess.Popen[bytes]], ledger: Ledger, trials: int, folder: Path) -> None:
    while None in (codes := [worker.poll() for worker in running]):
        _refuse_failed(codes, folder)
        progress(min(1.0, len(ledger.ended()) / trials), f"{len(ledger.ended())} of {trials} trials")
        with suppress(subprocess.TimeoutExpired):
            running[codes.index(None)].wait(0.3)
    _refuse_failed(codes, folder)
    if all(codes):
        raise StepFailed(
            f"All processes of the search were killed (signals {[-code for code in codes if code]}).",
            hint="Start it again: it goes on.",
        )


def _refuse_failed(codes: list[int | None], folder: Path) -> None:
    # A worker that was killed leaves its trial to the others; one that failed would fail again.
    for number, code in enumerate(codes):
        if code is not None and code > 0:
            words = (folder / f"{number}.log").read_text(errors="replace")[-_TAIL:].strip()
            raise StepFailed(f"A process of the search failed: {words}", code=code)


def _found(ledger: Ledger) -> Found:
    history = tuple(_told(trial, ledger.rules.space) for trial in ledger.ended())
    scored = [trial for trial in history if trial.state == "complete"]
    if not scored:
        raise StepFailed(
            f"None of {len(history)} trials came to a score. {history[0].error if history else ''}".strip(),
            hint="Look at the errors of the trials, or widen the space.",
        )
    sign = 1.0 if ledger.rules.direction == "minimize" else -1.0
    best = min(scored, key=lambda trial: sign * (trial.score or 0.0))
    return Found(best.values, best.score or 0.0, history)


def _told(trial: FrozenTrial, space: SearchSpace) -> Trial:
    state = {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed")
    score = trial.value if state == "complete" else None
    if state == "pruned" and trial.intermediate_values:
        score = trial.intermediate_values[max(trial.intermediate_values)]
    error = str(trial.user_attrs.get(FAILURE, ""))
    return Trial(values_of(trial, space), state, score, dict(trial.intermediate_values), error)

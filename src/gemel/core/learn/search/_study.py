"""One search in its storage: trials are taken, told and, where their process died, taken again."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from gemel.base.errors import InvalidInput
from gemel.core.learn.search._sampler import FAILURE, Seeded, died
from gemel.core.learn.search._space import SearchSpace

DIRECTIONS = ("minimize", "maximize")
_JOURNALS = (".journal", ".log", ".jsonl")
_PROCESS, _RETRIES = "process", "retries"
_MOST_RETRIES = 3  # a trial that ends its process every time is given up
_PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
    "hyperband": optuna.pruners.HyperbandPruner,
}


@dataclass(frozen=True)
class Rules:
    """What makes a search the same search when it goes on.

    Attributes:
        space: What is varied.
        name: Of the search in its storage.
        seed: Of the draws.
        sampler: `tpe`, `gp` or `random`.
        pruner: `median`, `hyperband` or `none`.
        direction: `minimize` or `maximize`.
    """

    space: SearchSpace
    name: str
    seed: int = 0
    sampler: str = "tpe"
    pruner: str = "median"
    direction: str = "minimize"

    def __post_init__(self) -> None:
        """Refuse what is unknown."""
        for what, choices in (("pruner", tuple(_PRUNERS)), ("direction", DIRECTIONS)):
            if getattr(self, what) not in choices:
                raise InvalidInput(f"No {what} '{getattr(self, what)}'.", hint=f"Take one of {', '.join(choices)}.")

    def document(self) -> dict[str, Any]:
        """Return the rules as JSON."""
        told = {name: getattr(self, name) for name in ("seed", "sampler", "pruner", "direction")}
        return told | {"space": {name: dict(found) for name, found in self.space.ranges.items()}}


@dataclass
class Ledger:
    """A search in its storage."""

    rules: Rules
    place: str
    study: optuna.Study
    sampler: Seeded
    _mine: str = field(default_factory=lambda: _identity(os.getpid()))

    @classmethod
    def open(cls, rules: Rules, storage: Path | str | None) -> Ledger:
        """Return the search, begun where it is not there yet.

        Raises:
            InvalidInput: The storage holds another search of this name.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = Seeded(rules.sampler, rules.seed)
        study = optuna.create_study(
            storage=_storage(storage),
            study_name=rules.name,
            sampler=sampler,
            pruner=_PRUNERS[rules.pruner](),
            direction=StudyDirection[rules.direction.upper()],
            load_if_exists=True,
        )
        known, told = study.user_attrs.get("rules"), rules.document()
        if known is None:
            study.set_user_attr("rules", told)
        elif known != told:
            differ = [f"{name}: {known.get(name)} -> {told[name]}" for name in told if known.get(name) != told[name]]
            raise InvalidInput(
                f"The storage holds another search '{rules.name}': {'; '.join(differ)}.", hint="Give it another name."
            )
        return cls(rules, str(storage), study, sampler)

    def take(self, most: int) -> optuna.Trial | None:
        """Return the next trial for this process; None when `most` are done or under way."""
        with self._alone():
            self._revive()
            counted = [trial for trial in self.study.get_trials(False) if not died(trial)]
            self.sampler.index = sum(trial.state != TrialState.WAITING for trial in counted)
            if self.sampler.index >= most:
                return None
            trial = self.study.ask(self.rules.space.distributions())
            trial.set_user_attr(_PROCESS, self._mine)
            return trial

    def give_back(self, trial: optuna.Trial) -> None:
        """Leave a trial that was interrupted to be taken again."""
        with self._alone():
            self._again(self.study.get_trials(False)[trial.number])

    def ended(self) -> list[FrozenTrial]:
        """Return the trials that ended, in their order."""
        return [trial for trial in self.study.get_trials(False) if trial.state.is_finished() and not died(trial)]

    def fail(self, trial: optuna.Trial, error: Exception) -> None:
        """Tell that a trial came to no score."""
        trial.set_user_attr(FAILURE, f"{type(error).__name__}: {error}")
        self.study.tell(trial, state=TrialState.FAIL)

    def _revive(self) -> None:
        # Trials are marked while the lock is held: one that runs without a mark lost its process right then.
        for trial in self.study.get_trials(False, states=(TrialState.RUNNING,)):
            if not _alive(trial.user_attrs.get(_PROCESS)):
                self._again(trial)

    def _again(self, trial: FrozenTrial) -> None:
        self.study.tell(trial.number, state=TrialState.FAIL)
        retries = int(trial.user_attrs.get(_RETRIES, 0))
        if retries < _MOST_RETRIES:
            self.study.enqueue_trial(trial.params, {_RETRIES: retries + 1})

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the search against the other processes of this machine."""
        told = hashlib.sha256(f"{self.place} {self.rules.name}".encode()).hexdigest()[:24]
        path = Path(tempfile.gettempdir()) / f"gemel-search-{os.getuid()}-{told}.lock"
        with path.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def values_of(trial: FrozenTrial | optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """Return what a trial drew, as its space spells it."""
    return space.values(trial.params)


def _storage(place: Path | str | None) -> BaseStorage:
    if place is None:
        return InMemoryStorage()
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix in _JOURNALS:
            return JournalStorage(JournalFileBackend(str(place)))
        place = f"sqlite:///{place.resolve()}"
    # Several processes write to one file: each waits for the others.
    waits: Mapping[str, Any] = {"connect_args": {"timeout": 60}} if place.startswith("sqlite") else {}
    return RDBStorage(place, engine_kwargs=dict(waits))


def _identity(pid: int) -> str:
    return f"{socket.gethostname()} {pid} {_started(pid)}"


def _started(pid: int) -> str:
    """Return when a process began, so that another one with its number is not taken for it; empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _alive(identity: Any) -> bool:
    if identity is None:
        return False
    host, pid, started = str(identity).split(" ")
    # Of other machines nothing is known here: their trials are theirs.
    return host != socket.gethostname() or (started != "" and _started(int(pid)) == started)

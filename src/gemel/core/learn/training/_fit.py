"""The trainer: steps, evaluations and checkpoints, so that a training that was killed goes on as if it never was."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gemel.base.errors import Diverged, InvalidInput, did_you_mean
from gemel.core.graph import Cancelled, progress
from gemel.core.learn.metrics import metrics
from gemel.core.learn.training._checkpoints import NEWEST, read_checkpoint, space, write_checkpoint
from gemel.core.learn.training._folder import Entry, Journal, only_one, read_curve, taken_control
from gemel.core.learn.training._gradients import Gradients
from gemel.core.learn.training._objective import Batches, Evaluate, Objective, Work, local_rank
from gemel.core.learn.training._outcome import Outcome, outcome_of, refuse_others, told
from gemel.core.learn.training._settings import Settings
from gemel.core.learn.training._team import Team

_RESERVED = ("step", "learning_rate", "notes")
_LOOK = 0.1  # seconds between looks at the control file
_TELL = 0.5  # seconds between reports
_LOOK_STEPS = 10  # steps between looks of several processes, which must look at the same one
_CHECK_STEPS = 50  # steps between looks at a loss that lies on a GPU
_SHARE = 100.0  # times that writing a checkpoint takes must pass until the next


def fit(
    objective: Objective,
    batches: Batches,
    settings: Settings,
    *,
    seed: int = 0,
    folder: Path | None = None,
    evaluate: Evaluate | None = None,
) -> Outcome:
    """Return how it went, after training the objective's module.

    With a folder, a training that was interrupted, even by kill -9, goes on where its last checkpoint stands and comes
    to the same curve and weights, bit for bit on the same kind of machine. Noise is seeded for every step by
    (seed, step, share), PyTorch's global generator included, and the caller's generator is left as it was.

    Args:
        objective: What is trained; its module is moved to the device and precision of the settings.
        batches: On what.
        settings: How.
        seed: Of noise; batches have their own.
        folder: Where checkpoint, curve, status, control file and TensorBoard events lie; None for nowhere.
        evaluate: Returns measures by name of the module as it is (in eval mode, without gradients). Where there is one,
            the module holds the weights that were best by `settings.watch` in the end, else the last ones.

    Raises:
        Diverged: The loss or a weight is no finite number any more; the last good checkpoint stays.
        InvalidInput: The settings cannot be, a GPU is asked for and absent, or the folder holds another training.
        Conflict: Another training runs in the folder.
        ResultCorrupt: The folder's checkpoints are broken.
        StoreFull: No space for a checkpoint; the one before is as it was.
        StepFailed: One of several processes died.
    """
    work, team = Work(objective, batches, evaluate), Team()
    replace(settings, processes=max(settings.processes, team.size)).check()
    _refuse_wrong_way(settings.watch)
    if settings.processes > 1 and team.size == 1:
        # Launching stands on this module, which its processes run.
        from gemel.core.learn.training._launching import fit_together

        return fit_together(work, settings, seed, folder)
    with contextlib.ExitStack() as stack:
        if folder is not None and team.rank == 0:
            stack.enter_context(only_one(folder))
        stack.enter_context(_surroundings(settings))
        return _Trainer(work, settings, seed, folder, team).run()


class _Trainer:
    """One training, from its start or its checkpoint to its end."""

    def __init__(self, work: Work, settings: Settings, seed: int, folder: Path | None, team: Team) -> None:
        self._work, self._settings, self._seed, self._team = work, settings, seed, team
        self._spelled = settings.document()
        self._folder = folder
        self._books = folder if team.rank == 0 else None  # what is written is written by the first process
        self._gradients = Gradients(work, settings, seed, team)
        self._module = work.objective.module
        self._done, self._reason, self._rate = 0, "", settings.learning_rate
        self._sums: dict[str, Any] = {}
        self._count = 0
        self._best: dict[str, Any] | None = None
        self._stale, self._spent = 0, 0.0
        self._resumed: int | None = None
        self._curve: list[Entry] = []
        self._notes: list[str] = []
        self._cost, self._written = 0.0, -math.inf
        self._resume()
        self._team.mean([0.0])  # nobody begins, and writes, before all have read

    # From the start to the end

    def run(self) -> Outcome:
        """Return how it went."""
        self._begun, self._first = time.monotonic(), self._done
        self._next_look = self._next_tell = self._begun
        with space(self._folder or Path()):
            self._journal = Journal(self._books, self._done, self._curve)
        try:
            self._train()
            self._finish()
        except Diverged as error:
            self._close("diverged", error=error.message)
            raise
        except BaseException as error:
            self._close("cancelled" if isinstance(error, Cancelled) else "failed", error=str(error))
            raise
        self._close(self._reason)
        return replace(outcome_of(self._state(time.monotonic()), self._curve), resumed_from=self._resumed)

    def _train(self) -> None:
        steps, evaluate, checkpoint = self._settings.steps, self._settings.evaluate, self._settings.checkpoint
        step = self._step
        self._module.train()
        while self._done < steps and not self._reason:
            if self._is_time():
                self._look()
                if self._reason:
                    break
            step(self._done)
            self._done = done = self._done + 1
            if done % evaluate == 0 or done == steps:
                self._evaluate()
            if done % checkpoint == 0 and done < steps and time.monotonic() - self._written >= _SHARE * self._cost:
                self._save()

    def _step(self, number: int) -> None:
        self._gradients.rate(self._rate * self._settings.factor(number))
        loss, parts = self._gradients.step(number)
        if self._gradients.on_cpu:
            value = loss.item()
            if not math.isfinite(value):
                raise self._diverged(number)
            self._sums["loss"] = self._sums.get("loss", 0.0) + value
        else:
            self._sums["loss"] = self._sums.get("loss", 0.0) + loss.double()
            if number % _CHECK_STEPS == 0 and not math.isfinite(float(self._sums["loss"])):
                raise self._diverged(number)
        for name, part in parts.items():
            found = part.item() if self._gradients.on_cpu else part.detach().double()
            self._sums[name] = self._sums.get(name, 0.0) + found
        self._count += 1

    def _finish(self) -> None:
        if not self._reason:
            self._reason = "early" if self._exhausted() else "finished"
        if self._count:
            self._evaluate()
        elif self._notes and self._curve:
            last = self._curve[-1]
            self._curve[-1] = last | {"notes": [*last.get("notes", []), *self._notes]}
            self._notes = []
            self._journal.rewrite(self._curve)
        if self._done > self._first or self._resumed is None:
            self._save()
        if self._best is not None:
            self._module.load_state_dict(self._best["module"])
        self._module.eval()

    def _exhausted(self) -> bool:
        return self._settings.patience is not None and self._stale >= self._settings.patience

    # Evaluation

    def _evaluate(self) -> None:
        means = self._means()
        losses = {name: told(value) for name, value in means.items()}
        entry: Entry = {"step": self._done, **losses, "learning_rate": self._gradients.now}
        if self._work.evaluate is not None:
            measures = self._team.heard(self._measured() if self._team.rank == 0 else None)
            entry |= {f"validation/{name}": told(value) for name, value in measures.items()}
            self._compare(measures)
        if self._notes:
            entry["notes"], self._notes = self._notes, []
        self._curve.append(entry)
        self._journal.add(entry)
        if self._exhausted() and not self._reason:
            self._reason = "early"

    def _means(self) -> dict[str, float]:
        sums = {name: float(value) / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        means = dict(zip(sums, self._team.mean(list(sums.values())), strict=True))
        if not math.isfinite(means.get("loss", 0.0)):
            raise self._diverged(self._done - 1)
        taken = set(means) & set(_RESERVED)
        if taken:
            raise InvalidInput(f"A part of a loss cannot be called '{min(taken)}'.")
        return means

    def _measured(self) -> dict[str, float]:
        assert self._work.evaluate is not None
        self._module.eval()
        with torch.no_grad():
            measures = {name: float(value) for name, value in self._work.evaluate().items()}
        self._module.train()
        return measures

    def _compare(self, measures: Mapping[str, float]) -> None:
        watched = self._settings.watch
        name = watched.removeprefix("-")
        if name not in measures:
            hint = did_you_mean(name, measures) or f"It gives {', '.join(measures)}."
            raise InvalidInput(f"The evaluation gives no '{name}', which watch = '{watched}' names.", hint=hint)
        score = -measures[name] if watched.startswith("-") else measures[name]
        if score < (math.inf if self._best is None else self._best["score"]):
            weights = {key: value.detach().clone() for key, value in self._module.state_dict().items()}
            self._best = {"score": score, "step": self._done, "measures": dict(measures), "module": weights}
            self._stale = 0
        else:
            self._stale += 1

    # What is told and heard

    def _is_time(self) -> bool:
        if self._team.size > 1:
            return self._done % _LOOK_STEPS == 0
        return time.monotonic() >= self._next_look

    def _look(self) -> None:
        heard, note = ({}, "") if self._books is None else taken_control(self._books)
        heard, note = self._team.heard((heard, note))
        if note:
            self._notes.append(f"step {self._done}: {note}")
        if "learning_rate" in heard:
            self._notes.append(f"step {self._done}: learning_rate {self._rate} -> {heard['learning_rate']}")
            self._rate = float(heard["learning_rate"])
            self._save()
        if heard.get("stop"):
            self._notes.append(f"step {self._done}: stopped")
            self._reason = "stopped"
        now = time.monotonic()
        self._next_look = now + _LOOK
        if heard.get("cancel"):
            self._cancel(Cancelled())
        if now >= self._next_tell and self._team.rank == 0:
            self._next_tell = now + _TELL
            self._tell("running")

    def _tell(self, state: str, **more: Any) -> None:
        steps, passed = self._settings.steps, time.monotonic() - self._begun
        rate = (self._done - self._first) / passed if passed > 0 else 0.0
        left = (steps - self._done) / rate if rate > 0 else None
        losses = {name: value for name, value in (self._curve or [{}])[-1].items() if isinstance(value, float)}
        facts = {"state": state, "step": self._done, "steps": steps, "rate": rate, "eta": left, "losses": losses}
        data = getattr(self._work.batches, "told", {})
        # Nobody needs to read along: a disk that is full is told by the next checkpoint.
        with contextlib.suppress(OSError):
            self._journal.flush()
            self._journal.status(**facts, data=data, settings=self._spelled, **more)
        if state == "running":
            loss = f", loss {losses['loss']:.4g}" if "loss" in losses else ""
            try:
                progress(self._done / steps, f"step {self._done} of {steps}{loss}, {rate:.3g} steps/s")
            except BaseException as error:
                self._cancel(error)

    def _cancel(self, error: BaseException) -> None:
        self._notes.append(f"step {self._done}: cancelled")
        self._save()
        raise error

    def _close(self, state: str, **more: Any) -> None:
        self._tell(state, **more)
        with contextlib.suppress(OSError):
            self._journal.close()

    def _diverged(self, number: int) -> Diverged:
        where = self._folder / NEWEST if self._folder else None
        kept = str(where) if where and where.exists() else None
        hint = "Try a smaller learning_rate, a warmup, or clip = 1.0; look at the data for extreme values."
        message = f"The loss or a weight is no finite number any more at step {number + 1}."
        return Diverged(message, hint=hint, step=number + 1, checkpoint=kept)

    # Checkpoints

    def _save(self) -> None:
        begun = time.monotonic()
        if self._team.rank == 0 and not _finite(self._module):
            raise self._diverged(self._done - 1)
        if self._books is not None:
            with space(self._books):
                self._journal.flush()
            write_checkpoint(self._books, self._state(begun))
        self._written = time.monotonic()
        self._cost = self._written - begun

    def _state(self, now: float) -> dict[str, Any]:
        return {
            "gemel": 1,
            "settings": self._spelled,
            "seed": self._seed,
            "data": dict(getattr(self._work.batches, "told", {})),
            "step": self._done,
            "reason": self._reason,
            "learning_rate": self._rate,
            "sums": {name: float(value) for name, value in self._sums.items()},
            "count": self._count,
            "best": self._best,
            "stale": self._stale,
            "seconds": self._spent + now - self._begun,
            "notes": list(self._notes),
            "module": self._module.state_dict(),
            **self._gradients.state(),
        }

    def _resume(self) -> None:
        state, note = (None, "") if self._folder is None else read_checkpoint(self._folder)
        if state is None:
            return
        refuse_others(state, self._work, self._settings, self._seed, self._folder)
        self._module.load_state_dict(state["module"])
        self._gradients.load(state)
        self._done = self._resumed = int(state["step"])
        self._rate, self._sums, self._count = state["learning_rate"], dict(state["sums"]), state["count"]
        self._best, self._stale, self._spent = state["best"], state["stale"], state["seconds"]
        self._reason = "" if self._done < self._settings.steps and state["reason"] != "early" else state["reason"]
        self._notes = list(state["notes"]) + ([f"step {self._done}: {note}"] if note else [])
        assert self._folder is not None
        self._curve = read_curve(self._folder, self._done)


def _refuse_wrong_way(watched: str) -> None:
    name = watched.removeprefix("-").partition("/")[0]
    better = metrics()[name].better if name in metrics() else None
    if better == ("less" if watched.startswith("-") else "more"):
        right = watched.removeprefix("-") if better == "less" else f"-{watched}"
        raise InvalidInput(
            f"Of '{name}', {better} is better: watch = '{watched}' would keep the worst weights.", hint=right
        )


def _finite(module: torch.nn.Module) -> bool:
    found = [torch.isfinite(item).all() for item in module.parameters()]
    return bool(torch.stack(found).all())


@contextlib.contextmanager
def _surroundings(settings: Settings) -> Iterator[None]:
    device = settings.place(local_rank())
    threads = torch.get_num_threads()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            if settings.threads is not None:
                torch.set_num_threads(settings.threads)
            yield
        finally:
            torch.set_num_threads(threads)

"""Several processes on this machine that train together, and what becomes of them when one dies."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import cloudpickle

from gemel.base.errors import GemelError, InvalidInput, StepFailed
from gemel.base.ids import new_id
from gemel.core.graph import Cancelled, progress
from gemel.core.learn.training._checkpoints import read_checkpoint
from gemel.core.learn.training._folder import control, read_curve
from gemel.core.learn.training._folder import replace as put
from gemel.core.learn.training._objective import Work
from gemel.core.learn.training._outcome import Outcome, outcome_of
from gemel.core.learn.training._settings import Settings

CANCELLED = 75  # exit code of a worker whose training was cancelled
_WORKER = "gemel.core.learn.training._worker"
_GRACE = 60.0  # seconds for a checkpoint after a cancellation
_TAIL = 800  # characters of a worker's last words that are told


@dataclass(frozen=True)
class Job:
    """A training that any process can set up by itself.

    Attributes:
        factory: `package.module:function`; called as `function(settings, seed, **arguments)`, it returns a `Work`.
        arguments: JSON.
        seed: Of weights, batches and noise.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def work(self, settings: Settings) -> Work:
        """Return what is trained on what.

        Raises:
            InvalidInput: The factory cannot be found.
        """
        module, _, name = self.factory.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise InvalidInput(
                f"The factory '{self.factory}' of a training cannot be found: {error}.",
                hint="Write package.module:function.",
            ) from error
        return cast("Work", function(settings, self.seed, **self.arguments))


def launch(job: Job, settings: Settings, folder: Path, processes: int) -> Outcome:
    """Return how a training went that several processes of this machine did together.

    Every process computes its share of each batch, gradients are averaged (DistributedDataParallel over gloo, or NCCL
    where every process has a GPU), and the first one keeps the books in the folder. Started again, it goes on from
    the last checkpoint, be it with another number of processes.

    Raises:
        StepFailed: A process died; the others were ended, and the last checkpoint stays.
        GemelError: Whatever `fit` raises.
    """
    settings = replace(settings, processes=processes)
    settings.check()
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    before, _ = read_checkpoint(folder)
    put(folder / "job.json", job_document(job, settings))
    _run(folder, settings)
    state, _ = read_checkpoint(folder)
    assert state is not None
    told = outcome_of(state, read_curve(folder, state["step"]))
    return replace(told, resumed_from=None if before is None else before["step"])


def job_document(job: Job, settings: Settings) -> str:
    """Return what a worker reads, JSON."""
    return json.dumps({"job": asdict(job), "settings": settings.document()})


def fit_together(work: Work, settings: Settings, seed: int, folder: Path | None) -> Outcome:
    """Return how `fit` went on several processes, after loading what they learned into the module here.

    Raises:
        InvalidInput: The objective or the batches cannot be sent to other processes.
    """
    with tempfile.TemporaryDirectory() as private:
        place = Path(private if folder is None else folder)
        sent = Path(private) / "work.pkl"
        try:
            sent.write_bytes(cloudpickle.dumps(work))
        except (TypeError, AttributeError, ValueError) as error:
            raise InvalidInput(
                f"This objective cannot be sent to other processes: {error}.",
                hint="Train with `launch` and a Job, whose factory makes it in every process.",
            ) from error
        job = Job(f"{__name__}:unpickled", {"path": str(sent)}, seed)
        outcome = launch(job, settings, place, settings.processes)
        state, _ = read_checkpoint(place)
        assert state is not None
        module = work.objective.module.to(settings.dtype)
        module.load_state_dict((state["best"] or state)["module"])
        module.eval()
        return outcome


def unpickled(_settings: Settings, _seed: int, path: str) -> Work:
    """Return the work that `fit_together` sent."""
    return cast("Work", cloudpickle.loads(Path(path).read_bytes()))


def _run(folder: Path, settings: Settings) -> None:
    meeting = folder / f".{new_id('meeting')}"
    workers: list[subprocess.Popen[bytes]] = []
    for stale in folder.glob("worker-*.error.json"):
        stale.unlink()
    try:
        for rank in range(settings.processes):
            with (folder / f"worker-{rank}.log").open("wb") as log:
                command = [sys.executable, "-m", _WORKER, str(folder)]
                environment = _environment(rank, settings, meeting)
                workers.append(
                    subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
                )
        _watch(workers, folder)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            if worker.stdin is not None:
                worker.stdin.close()
        meeting.unlink(missing_ok=True)


def _environment(rank: int, settings: Settings, meeting: Path) -> dict[str, str]:
    size = settings.processes
    told = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        "GEMEL_RENDEZVOUS": f"file://{meeting}",
        "GEMEL_PARENT": "stdin",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    threads = settings.threads or max(1, (os.cpu_count() or 1) // size)
    kept = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": str(threads)} | dict(os.environ)
    return kept | {name: str(value) for name, value in told.items()}


def _watch(workers: list[subprocess.Popen[bytes]], folder: Path) -> None:
    with _cancelled_together(workers, folder):
        while True:
            codes = [worker.poll() for worker in workers]
            if all(code == 0 for code in codes):
                return
            if any(codes):
                _raise(codes, workers, folder)
            _report(folder)
            with contextlib.suppress(subprocess.TimeoutExpired):
                workers[codes.index(None)].wait(0.1)


@contextlib.contextmanager
def _cancelled_together(workers: list[subprocess.Popen[bytes]], folder: Path) -> Iterator[None]:
    try:
        yield
    except Cancelled:
        control(folder, cancel=True)
        end = time.monotonic() + _GRACE
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(max(0.0, end - time.monotonic()))
        raise


def _report(folder: Path) -> None:
    try:
        told = json.loads((folder / "status.json").read_text())
    except (OSError, ValueError):
        progress(0.0, "starting processes")
        return
    progress(told["step"] / told["steps"], f"step {told['step']} of {told['steps']}, {told['rate']:.3g} steps/s")


def _raise(codes: list[int | None], workers: list[subprocess.Popen[bytes]], folder: Path) -> None:
    if CANCELLED in codes:
        raise Cancelled
    # Whoever was killed is the cause; those that lost their partner fail a moment later with codes of their own.
    rank = min((code, rank) for rank, code in enumerate(codes) if code)[1]
    code = codes[rank]
    for worker in workers:
        worker.kill()
        worker.wait()
    for told in sorted(folder.glob("worker-*.error.json")):
        raise _error(json.loads(told.read_text()))
    words = (folder / f"worker-{rank}.log").read_text(errors="replace")[-_TAIL:].strip()
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    raise StepFailed(
        f"Process {rank} of {len(workers)} of the training {how}; the others were ended. {words}".strip(),
        hint="Start the same training again: it goes on from the last checkpoint.",
        rank=rank,
        code=code,
        folder=str(folder),
    )


def _error(document: Mapping[str, Any]) -> GemelError:
    classes = [GemelError]
    for known in classes:
        classes.extend(known.__subclasses__())
    found = next((known for known in classes if known.code == document["code"]), GemelError)
    return found(document["message"], hint=document["hint"], **document["context"])

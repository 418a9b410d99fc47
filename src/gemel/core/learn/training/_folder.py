"""The folder of a training: its curve, its status, its control file and its TensorBoard events."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gemel.base.errors import Conflict, InvalidInput
from gemel.core.learn.watching import check_controls, leave_controls

Entry = dict[str, Any]
_PATIENCE = 1.0  # seconds in which a control file may be half written


class Journal:
    """Writes what a training tells; nothing without a folder."""

    def __init__(self, folder: Path | None, begun: int, curve: list[Entry]) -> None:
        self._folder = folder
        self._waiting: list[Entry] = []
        self._events: Any = None
        self.rewrite(curve)
        if folder is not None:
            self._events = _events(folder / "tensorboard", begun)

    def rewrite(self, curve: list[Entry]) -> None:
        """Replace the curve."""
        if self._folder is not None:
            replace(self._folder / "curve.jsonl", _lines(curve))
            self._waiting.clear()

    def add(self, entry: Entry) -> None:
        """Take up an entry of the curve, to be written at the next flush."""
        if self._folder is not None:
            self._waiting.append(entry)

    def flush(self) -> None:
        """Write what waits: every entry to the curve, the last to TensorBoard."""
        if self._folder is None or not self._waiting:
            return
        path = self._folder / "curve.jsonl"
        size = path.stat().st_size
        try:
            with path.open("a") as file:
                file.write(_lines(self._waiting))
        except OSError:
            # Half a line would spoil the one that is written after it.
            os.truncate(path, size)
            raise
        if self._events is not None:
            for name, value in self._waiting[-1].items():
                if isinstance(value, float):
                    self._events.add_scalar(name, value, self._waiting[-1]["step"])
        self._waiting.clear()

    def status(self, **told: Any) -> None:
        """Replace the status."""
        if self._folder is not None:
            replace(self._folder / "status.json", json.dumps(told | {"pid": os.getpid()}))

    def close(self) -> None:
        """Write what waits and let go of the event files."""
        self.flush()
        if self._events is not None:
            self._events.close()


def _lines(curve: list[Entry]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in curve)


def replace(path: Path, text: str) -> None:
    """Put a text in a file's place in one moment."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text)
    fresh.replace(path)


def read_curve(folder: Path, until: int) -> list[Entry]:
    """Return the entries of a curve up to a step, without a last line that was cut off."""
    try:
        lines = (folder / "curve.jsonl").read_text().splitlines()
    except FileNotFoundError:
        return []
    found: list[Entry] = []
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry.get("step", until + 1) <= until:
                found.append(entry)
    return found


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a folder for this training alone.

    Raises:
        Conflict: Another training that runs holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"A training is running in {folder}.", hint="Wait for it, or stop it: control.json"
            ) from error
        yield


def control(folder: Path, **changes: Any) -> None:
    """Tell a training that runs in a folder what to change: `learning_rate=1e-4`, `stop=True` or `cancel=True`.

    Raises:
        InvalidInput: There is no such control, or the learning rate is not positive.
    """
    leave_controls(folder, changes)


def taken_control(folder: Path) -> tuple[dict[str, Any], str]:
    """Return what `control.json` asks for and take the file away; with why it was refused, where it was."""
    taken = folder / ".control.taken"
    if not taken.exists():
        try:
            (folder / "control.json").replace(taken)
        except OSError:
            return {}, ""
    try:
        document = json.loads(taken.read_text())
        check_controls(document)
    except (ValueError, AttributeError) as error:
        # Whoever writes the file in place may be half way through; the name that moved away is still theirs.
        if not isinstance(error, InvalidInput) and time.time() - taken.stat().st_mtime < _PATIENCE:
            return {}, ""
        taken.unlink()
        return {}, f"control.json was refused: {error}"
    taken.unlink()
    return dict(document), ""


def _events(folder: Path, begun: int) -> Any:
    try:
        writer = importlib.import_module("tensorboardX").SummaryWriter
    except ImportError:
        return None
    return writer(str(folder), purge_step=begun, max_queue=1000, flush_secs=5)

"""Trainings by folder: status, curve, and whether the process that trains is still there."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel.base.errors import Conflict, InvalidInput, did_you_mean

CONTROLS = ("learning_rate", "stop", "cancel")


@dataclass(frozen=True)
class Watched:
    """A training as its folder tells of it.

    Attributes:
        id: Name of its folder; `ID.member-0` of a member of an ensemble.
        folder: Where.
        status: What it told last: `state`, `step`, `steps`, `rate`, `eta`, losses, `pid`.
    """

    id: str
    folder: Path
    status: Mapping[str, Any]

    @property
    def running(self) -> bool:
        """Return whether it says that it runs, and its process is there."""
        return self.status.get("state") == "running" and _alive(int(self.status.get("pid", 0)))

    def document(self) -> dict[str, Any]:
        """Return what is told of it as JSON; one whose process died is `interrupted`."""
        state = self.status.get("state", "unknown")
        told = {name: value for name, value in self.status.items() if name != "pid"}
        return {"id": self.id} | told | {"state": "interrupted" if state == "running" and not self.running else state}

    def curve(self) -> list[dict[str, Any]]:
        """Return the entries of its curve, without a last line that is being written."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / "curve.jsonl").read_text().splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return found


def trainings(folder: Path) -> list[Watched]:
    """Return the trainings below a folder, the one that told something last first."""
    found = []
    # Members of an ensemble have folders of their own inside of that of the training.
    for path in (*folder.glob("*/status.json"), *folder.glob("*/*/status.json")):
        with contextlib.suppress(OSError, ValueError):
            id = ".".join(path.parent.relative_to(folder).parts)
            found.append((path.stat().st_mtime, Watched(id, path.parent, json.loads(path.read_text()))))
    return [item for _, item in sorted(found, key=lambda pair: (-pair[0], pair[1].id))]


def steer(training: Watched, changes: Mapping[str, Any]) -> None:
    """Tell a running training what to change, from its next step on.

    Args:
        training: Which.
        changes: `learning_rate` (a number), `stop` (ends with what it has) or `cancel` (true).

    Raises:
        InvalidInput: It cannot be changed in this way.
        Conflict: It does not run.
    """
    check_controls(changes)
    if not training.running:
        raise Conflict(f"Training {training.id} does not run.", hint="gemel model trainings")
    leave_controls(training.folder, changes)


def check_controls(changes: Mapping[str, Any]) -> None:
    """Refuse changes that no training takes.

    Raises:
        InvalidInput: There is no such control, or the learning rate is no positive number.
    """
    for name in changes:
        if name not in CONTROLS:
            hint = did_you_mean(name, CONTROLS) or f"One of {', '.join(CONTROLS)}."
            raise InvalidInput(f"A training has no control '{name}'.", hint=hint)
    rate = changes.get("learning_rate", 1.0)
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0.0 < rate < math.inf:
        raise InvalidInput(f"learning_rate = {rate!r} is not a positive number.")


def leave_controls(folder: Path, changes: Mapping[str, Any]) -> None:
    """Leave changes in the folder of a training, which takes them up at its next look.

    Raises:
        InvalidInput: No training takes them.
    """
    check_controls(changes)
    fresh = folder / ".control.json.new"
    fresh.write_text(json.dumps(dict(changes)))
    fresh.replace(folder / "control.json")


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

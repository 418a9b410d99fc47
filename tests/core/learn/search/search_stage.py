"""What tests of the search share: functions whose optimum is known, and evaluations that wait or die."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

BRANIN = {"x": {"low": -5.0, "high": 10.0}, "y": {"low": 0.0, "high": 15.0}}
#: Least value of Branin's function (Dixon & Szego 1978, "The global optimisation problem: an introduction").
LEAST = 0.397887
Report = Callable[[int, float], None]


def branin(values: dict[str, Any], _report: Report) -> float:
    x, y = values["x"], values["y"]
    valley = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return valley + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def once(flag: Path, number: int, how: Callable[[], None]) -> Callable[[dict[str, Any], Report], float]:
    """Branin's function; something happens at the evaluation of this number, unless the flag says it did before."""
    calls: list[int] = []

    def evaluate(values: dict[str, Any], report: Report) -> float:
        calls.append(1)
        if len(calls) == number and not flag.exists():
            flag.touch()
            how()
        return branin(values, report)

    return evaluate


def blocked() -> None:
    threading.Event().wait()


def suicide() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

"""Searches that may be killed at any moment, forked from a process that has imported everything."""

from __future__ import annotations

import json
from pathlib import Path

from search_stage import BRANIN, blocked, once

from gemel.core.learn.search import search
from zygote import serve


def live(storage: str, trials: str, number: str) -> None:
    """Search, and wait for ever at one evaluation; tell in `STORAGE.json` what was found."""
    evaluate = once(Path(f"{storage}.flag"), int(number), blocked)
    found = search(evaluate, BRANIN, trials=int(trials), storage=Path(storage), seed=3)
    history = [[dict(trial.values), trial.state, trial.score] for trial in found.history]
    Path(f"{storage}.json").write_text(json.dumps(history))


if __name__ == "__main__":
    serve(live)

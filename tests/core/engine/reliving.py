"""Engines that may be killed at any moment, in processes forked from one that has imported everything."""

from __future__ import annotations

import threading
from pathlib import Path

from gemel.base.config import load_settings
from gemel.core.engine import Engine, open_engine
from gemel.core.twin import Twin, load_twin
from zygote import serve


def main(url: str, home: str, folder: str, what: str) -> None:
    """Run the twin's graph `what`, or follow its sources to their end for `live`."""
    with open_engine(load_settings(home=Path(home), assignments=[f"store.url={url}"])) as engine:
        twin = load_twin(Path(folder))
        if what.startswith("fired"):
            fired(engine, twin, int(what.partition(" ")[2]))
            return
        if what != "live":
            run = engine.finish(engine.start(twin, what))
            assert run.state == "finished", run.error
            return
        live = engine.go_live(twin)
        live.wait_finished()
        assert live.status().problem is None, live.status().problem


def fired(engine: Engine, twin: Twin, days: int) -> None:
    """Follow the twin's sources, alone or beside another engine, until each of so many days has led to a run."""
    engine.go_live(twin)
    engine.serve()
    never = threading.Event()
    while not _all_fired(engine, days):
        never.wait(0.02)


def _all_fired(engine: Engine, days: int) -> bool:
    causes = engine.log.read("causes")
    runs = [engine.runs.journal.caused(f"causes/{cause.id}") for cause in causes]
    return len(causes) == days and all(run is not None and run.finished for run in runs)


if __name__ == "__main__":
    serve(main)

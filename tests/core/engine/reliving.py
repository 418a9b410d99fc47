"""Engines that may be killed at any moment, in processes forked from one that has imported everything.

Each line on standard input is `go` with a JSON list of the arguments of `main`, answered by the id of the process that
runs it, or `reap` with such an id, answered by how that process ended.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

from gemel.base.config import load_settings
from gemel.core.engine import open_engine
from gemel.core.twin import load_twin


def main(url: str, home: str, folder: str, what: str) -> None:
    """Run the twin's graph `what`, or follow its sources to their end for `live`."""
    with open_engine(load_settings(home=Path(home), assignments=[f"store.url={url}"])) as engine:
        twin = load_twin(Path(folder))
        if what != "live":
            run = engine.finish(engine.start(twin, what))
            assert run.state == "finished", run.error
            return
        live = engine.go_live(twin)
        live.wait_finished()
        assert live.status().problem is None, live.status().problem


def serve() -> None:
    """Fork one process for each `go` and tell how it ended at each `reap`."""
    for module in ("alembic.command", "alembic.config", "pg8000.dbapi", "sqlalchemy.dialects.postgresql.pg8000"):
        importlib.import_module(module)
    for line in sys.stdin:
        command, _, rest = line.partition(" ")
        if command == "go":
            child = os.fork()
            if not child:
                _run_and_leave(json.loads(rest))
            print(child, flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(int(rest), 0)[1]), flush=True)


def _run_and_leave(arguments: list[str]) -> None:
    try:
        main(*arguments)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    serve()

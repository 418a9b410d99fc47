"""Seconds per no-op step of a DBOS workflow on SQLite; runs in an environment of its own that has DBOS."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from dbos import DBOS


@DBOS.step()
def nothing(before: int) -> int:
    """Do nothing."""
    return before + 1


@DBOS.workflow()
def chain(steps: int) -> int:
    """Take as many steps, one after the other."""
    value = 0
    for _ in range(steps):
        value = nothing(value)
    return value


def main(folder: Path) -> None:
    """Answer each line on standard input, a number of steps, with `seconds` per step."""
    url = f"sqlite:///{folder / 'dbos.sqlite'}"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False})
    DBOS.launch()
    for line in sys.stdin:
        steps = int(line)
        begun = time.perf_counter()
        assert chain(steps) == steps
        print("seconds", (time.perf_counter() - begun) / steps, flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""One process of a search: `python -m gemel.core.learn.search._worker FILE`."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import cloudpickle

from gemel.core.learn.search._search import work
from gemel.core.learn.search._study import Ledger


def main(sent: Path) -> None:
    """Try values until all trials are done."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    rules, storage, evaluate, trials = cloudpickle.loads(sent.read_bytes())
    work(Ledger.open(rules, storage), evaluate, trials)


def _die_with_parent() -> None:
    # The pipe ends when whoever started this process is gone, however it went; sys.stdin would keep a lock meanwhile.
    while os.read(0, 1024):
        continue
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)

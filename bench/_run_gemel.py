"""Seconds per no-op step of a gemel run: a chain in which each step waits for the one before, journaled and synced."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gemel.base.ids import new_id
from gemel.core.graph import (
    Execution,
    Graph,
    Journal,
    NewRun,
    Node,
    Registry,
    ResultStore,
    RunControl,
    Services,
    plan,
    process,
)
from gemel.infra.lake import ContentStore
from gemel.infra.store import open_store


@process
def nothing(before: int, salt: str) -> int:
    """Do nothing.

    Args:
        before: Result of the step before.
        salt: Makes the steps of one round differ from those of the others.
    """
    return before + 1


def chain(steps: int) -> Graph:
    """Return a graph of as many steps, each waiting for the one before."""
    salt, nodes = new_id("salt"), {"s0": Node("nothing", {"before": 0, "salt": "0"})}
    nodes["s0"] = Node("nothing", {"before": 0, "salt": salt})
    for position in range(1, steps):
        nodes[f"s{position}"] = Node("nothing", {"before": {"from_node": f"s{position - 1}"}, "salt": salt})
    return Graph("chain", nodes, {"result": f"s{steps - 1}"}, processes={"nothing": nothing})


def main(folder: Path) -> None:
    """Answer each line on standard input, a number of steps, with `seconds` per step."""
    store = open_store(f"sqlite:///{folder / 'gemel.db'}")
    results = ResultStore(store, ContentStore(folder / "results"), 65536)
    journal = Journal(store, results)
    with ThreadPoolExecutor(4) as pool:
        services = Services(journal, results, pool, {})
        for line in sys.stdin:
            steps = int(line)
            graph = chain(steps)
            planned = plan(graph, Registry({"nothing": nothing}), {})
            run_id, _ = journal.create(NewRun("bench", graph, {}, "engine", new_id("s")))
            begun = time.perf_counter()
            state = Execution(run_id, planned, services, RunControl()).run()
            print("seconds", (time.perf_counter() - begun) / steps, flush=True)
            assert state == "finished"
            assert results.load(results.get(journal.get(run_id).outputs[0].key)) == steps
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

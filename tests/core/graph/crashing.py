"""A run that may be killed at any moment and started again, in processes forked from one that has imported everything."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gemel.base.ids import digest_json, new_id
from gemel.core.graph import (
    Execution,
    Graph,
    Journal,
    NewRun,
    Registry,
    ResultStore,
    RunControl,
    Services,
    graph,
    plan,
    process,
)
from gemel.infra.lake import ContentStore
from gemel.infra.store import open_store
from zygote import serve

DIAMONDS = 10
BIG = 20_000  # characters; beyond the inline limit below, so that half of the results are files


def _note(side: str, name: str) -> None:
    handle = os.open(side, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{name}\n".encode())
    os.close(handle)


@process
def top(side: str, level: int, below: dict) -> dict:
    """The first corner."""
    result = {"value": below["value"] + 1, "padding": "x" * BIG}
    _note(side, f"top {level}")
    return result


@process
def flank(side: str, level: int, which: str, corner: dict) -> dict:
    """One of two corners that do not wait for each other."""
    result = {"value": corner["value"] * (2 if which == "left" else 3), "padding": ""}
    _note(side, f"{which} {level}")
    return result


@process
def join(side: str, level: int, left: dict, right: dict) -> dict:
    """The last corner; its value stays small by a modulus."""
    result = {"value": (left["value"] + right["value"]) % 1_000_003, "padding": ""}
    _note(side, f"join {level}")
    return result


def ladder(diamonds: int) -> Graph:
    """Return the graph of as many diamonds, one on the other."""

    @graph
    def diamonds_graph(side: str) -> dict:
        below = {"value": 0, "padding": ""}
        for level in range(diamonds):
            corner = top(side, level, below)
            below = join(side, level, flank(side, level, "left", corner), flank(side, level, "right", corner))
        return below

    return diamonds_graph


def expected(diamonds: int) -> int:
    """Return the value that the ladder must end with."""
    value = 0
    for _ in range(diamonds):
        value = ((value + 1) * 5) % 1_000_003
    return value


def main(url: str, home: str, side: str, mode: str = "go on") -> None:
    """Go on with the unfinished run in the store, or begin one; with mode `new` begin one, with `open` do neither."""
    store = open_store(url)
    if mode == "open":
        store.close()
        return
    results = ResultStore(store, ContentStore(Path(home) / "results"), 4096)
    journal = Journal(store, results)
    engine, built = new_id("engine"), ladder(DIAMONDS)
    unfinished = journal.list(states=("queued", "running")) if mode != "new" else []
    if unfinished:
        run_id = unfinished[0].id
        if not journal.adopt(run_id, engine, unfinished[0].engine):
            raise RuntimeError("the run could not be adopted")
    else:
        arguments = {"side": side}
        run_id, _ = journal.create(NewRun("twin", built, arguments, engine, digest_json([built.digest, arguments])))
    planned = plan(built, Registry().extended(built.processes.values()), {"side": side})
    with ThreadPoolExecutor(4) as pool:
        state = Execution(run_id, planned, Services(journal, results, pool, {}), RunControl()).run()
    store.close()
    if state != "finished":
        raise RuntimeError(f"the run ended as {state}: {journal.get(run_id).error}")


if __name__ == "__main__":
    serve(main)

"""A small engine for these tests: one store, one thread pool, and runs of graphs on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gemel.base.ids import digest_json
from gemel.core.graph import (
    Execution,
    Graph,
    Journal,
    NewRun,
    Registry,
    ResultStore,
    Run,
    RunControl,
    Services,
    plan,
    require_valid,
)
from gemel.infra.lake import ContentStore
from gemel.infra.store import Store, open_store


class Bench:
    """One engine on one store: what tests drive, made of the public parts alone."""

    def __init__(self, url: str, home: Path, *, workers: int = 4, inline_limit: int = 65536) -> None:
        self.store: Store = open_store(url)
        self.files = ContentStore(home / "results")
        self.results = ResultStore(self.store, self.files, inline_limit)
        self.journal = Journal(self.store, self.results)
        self.pool = ThreadPoolExecutor(workers)
        self.services = Services(self.journal, self.results, self.pool, {})
        self.home = home

    def create(self, graph: Graph, arguments: Mapping[str, Any] | None = None, *, engine: str = "engine-1") -> str:
        signature = digest_json([graph.digest, dict(arguments or {})])
        return self.journal.create(NewRun("twin", graph, arguments or {}, engine, signature))[0]

    def execute(
        self, run_id: str, graph: Graph, arguments: Mapping[str, Any] | None = None, control: RunControl | None = None
    ) -> Run:
        registry = Registry().extended(graph.processes.values())
        require_valid(graph, registry, arguments or {})
        planned = plan(graph, registry, arguments or {})
        Execution(run_id, planned, self.services, control or RunControl(), self.home).run()
        return self.journal.get(run_id)

    def run(self, graph: Graph, arguments: Mapping[str, Any] | None = None, control: RunControl | None = None) -> Run:
        return self.execute(self.create(graph, arguments), graph, arguments, control)

    def value(self, run: Run, name: str = "result") -> Any:
        key = next(output.key for output in run.outputs if output.name == name)
        return self.results.load(self.results.get(key))

    def states(self, run: Run) -> dict[str, tuple[str, bool]]:
        return {step.node: (step.state, step.cached) for step in run.steps}

    def close(self) -> None:
        self.pool.shutdown()
        self.store.close()


@pytest.fixture
def new_bench(home: Path) -> Iterator[Callable[..., Bench]]:
    """Return a maker of engines on given stores; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(url: str, **options: Any) -> Bench:
            bench = Bench(url, home, **options)
            stack.callback(bench.close)
            return bench

        yield make


@pytest.fixture
def bench(store_url: str, new_bench: Callable[..., Bench]) -> Bench:
    """Return an engine, once on SQLite and once on PostgreSQL."""
    return new_bench(store_url)


@pytest.fixture
def sqlite_bench(sqlite_url: str, new_bench: Callable[..., Bench]) -> Bench:
    """Return an engine on SQLite, for what does not depend on the database."""
    return new_bench(sqlite_url)

"""Starting, following, stopping and taking up runs."""

from __future__ import annotations

import contextlib
import platform
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from gemel.base.errors import GemelError
from gemel.base.ids import digest_json
from gemel.core.engine._origin import Origin
from gemel.core.engine._presence import Presence
from gemel.core.graph import (
    Execution,
    Graph,
    Journal,
    NewRun,
    Run,
    RunControl,
    Services,
    Surroundings,
    pinned,
    plan,
    require_valid,
)
from gemel.core.twin import Twin

_UNFINISHED = ("queued", "running")
_FOREIGN_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 3.0


@dataclass
class _Active:
    """A run that this engine executes, and what has been told about it so far."""

    control: RunControl
    changes: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    done: bool = False

    def tell(self, change: dict[str, Any]) -> None:
        with self.changed:
            self.changes.append(change)
            self.changed.notify_all()

    def end(self) -> None:
        with self.changed:
            self.done = True
            self.changed.notify_all()

    def wait_end(self, seconds: float) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.done, max(seconds, 0.0))


class Runs:
    """The runs of one engine."""

    def __init__(self, journal: Journal, services: Services, presence: Presence, keep_updates: int = 100) -> None:
        self.journal = journal
        self.keep_updates = keep_updates
        self._services = services
        self._presence = presence
        self._drivers = ThreadPoolExecutor(16, thread_name_prefix="gemel-run")
        self._active: dict[str, _Active] = {}
        self._lock = threading.Lock()
        #: Called with the id of a run some of whose results were removed.
        self.dropped: Callable[[str], None] = lambda _: None

    def start(
        self, source: Twin | Origin, graph: Graph, arguments: Mapping[str, Any], *, cause: str | None = None
    ) -> str:
        """Return the id of a run that has begun; an interrupted run of the same thing is taken up instead.

        Args:
            source: What the graph belongs to.
            graph: What is run.
            arguments: Values of the graph's parameters.
            cause: What fired it; at most one run exists for a cause, and it is never taken up for another.

        Raises:
            GraphInvalid: The graph or its arguments are wrong; nothing is recorded.
            NotFound: A model that it names is not registered.
        """
        origin = Origin.of(source) if isinstance(source, Twin) else source
        require_valid(graph, origin.registry, arguments)
        graph, arguments = pinned(graph, origin.registry, arguments, self._place(origin))
        signature = digest_json([graph.digest, dict(arguments), origin.content])
        taken = self._take_up(signature) if cause is None else None
        if taken is None:
            new = NewRun(origin.id, graph, arguments, self._presence.engine, signature, _environment(origin), cause)
            taken, is_new = self.journal.create(new)
            if not is_new and not self._adopt(self.journal.get(taken)):
                return taken
        self._drive(taken, origin, graph, arguments)
        return taken

    def take_up(self, run: Run, source: Twin | Origin) -> bool:
        """Return whether an unfinished `run` of a dead engine now goes on here."""
        if not self._adopt(run):
            return False
        origin = Origin.of(source) if isinstance(source, Twin) else source
        self._drive(run.id, origin, Graph.from_json(run.document), run.arguments)
        return True

    def orphans(self) -> list[Run]:
        """Return unfinished runs whose engine is dead."""
        unfinished = self.journal.list(states=_UNFINISHED, limit=1000)
        return [run for run in unfinished if not self._presence.alive(run.engine)]

    def wait(self, run_id: str, timeout: float | None = None) -> Run:
        """Return the run when it has ended, or as it stands when the time is up."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in self._until_done(run_id, deadline):
            pass
        return self.journal.get(run_id)

    def watch(self, run_id: str, timeout: float | None = None) -> Iterator[dict[str, Any]]:
        """Yield each change of a run's steps as it happens, until the run has ended or the time is up."""
        seen = 0
        deadline = None if timeout is None else time.monotonic() + timeout
        for active in self._until_done(run_id, deadline):
            if active is not None:
                # More may be told while the listener is busy with these, so only what was handed on counts as seen.
                fresh = active.changes[seen:]
                seen += len(fresh)
                yield from fresh
        active = self._active.get(run_id)
        if active is not None:
            yield from active.changes[seen:]

    def cancel(self, run_id: str) -> Run:
        """Return the run after asking for its end; a finished run stays as it is."""
        run = self.journal.get(run_id)
        if self._adopt(run):
            # Its engine is dead: nobody else would heed the request.
            self.journal.finish(run_id, "cancelled", None, ())
        elif not run.finished:
            self.journal.request_cancel(run_id)
            self.heed_cancellations()
        return self.wait(run_id, 5.0)

    def drop_results(self, run_id: str, keep: Collection[str]) -> None:
        """Remove results that only this run made and used, except those in `keep`; its record stays."""
        self._services.results.drop_own(run_id, keep)
        self.dropped(run_id)

    def heed_cancellations(self) -> None:
        """Stop those of our runs whose cancellation was asked for, here or by another process."""
        with self._lock:
            ours = {name: active for name, active in self._active.items() if not active.done}
        if ours:
            for name in self.journal.cancel_requested(list(ours)):
                ours[name].control.cancelled.set()

    def close(self) -> None:
        """Stop all runs of this engine and wait a while for them; they can be taken up later."""
        with self._lock:
            active = [item for item in self._active.values() if not item.done]
        for item in active:
            item.control.abandoned = True
            item.control.cancelled.set()
        deadline = time.monotonic() + _CLOSE_SECONDS
        # A step that never looks whether it should stop is left alone: the run is taken up without it.
        stopped = [item.wait_end(deadline - time.monotonic()) for item in active]
        self._drivers.shutdown(wait=all(stopped))
        self._services.pool.shutdown(wait=all(stopped))

    def _take_up(self, signature: str) -> str | None:
        for run in self.orphans():
            if run.signature == signature and self._adopt(run):
                return run.id
        return None

    def _adopt(self, run: Run) -> bool:
        if run.finished or self._presence.alive(run.engine):
            return False
        return self.journal.adopt(run.id, self._presence.engine, run.engine)

    def _drive(self, run_id: str, origin: Origin, graph: Graph, arguments: Mapping[str, Any]) -> None:
        active = _Active(RunControl())
        active.control.notify = active.tell
        with self._lock:
            self._forget_old()
            self._active[run_id] = active
        self._drivers.submit(self._execute, run_id, active, (origin, graph, arguments))

    def _execute(self, run_id: str, active: _Active, work: tuple[Origin, Graph, Mapping[str, Any]]) -> None:
        origin, graph, arguments = work
        try:
            planned = plan(graph, origin.registry, arguments)
            services = replace(self._services, surroundings=self._place(origin))
            Execution(run_id, planned, services, active.control, origin.folder).run()
        except GemelError as error:
            with contextlib.suppress(GemelError):
                self.journal.finish(run_id, "failed", error.document(), ())
        except BaseException as error:
            failure = GemelError(f"The engine stumbled: {type(error).__name__}: {error}", hint="Please report this.")
            with contextlib.suppress(GemelError):
                self.journal.finish(run_id, "failed", failure.document(), ())
            raise
        finally:
            active.end()

    def _place(self, origin: Origin) -> Surroundings:
        return replace(self._services.surroundings, registry=origin.registry, twin=origin.id or None)

    def _forget_old(self) -> None:
        # What was told of long finished runs is in the journal; only the newest are kept for late listeners.
        for name in [name for name, active in self._active.items() if active.done][:-64]:
            del self._active[name]

    def _until_done(self, run_id: str, deadline: float | None) -> Iterator[_Active | None]:
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            active = self._active.get(run_id)
            if active is None:
                if self.journal.get(run_id).finished:
                    return
                threading.Event().wait(min(left or _FOREIGN_POLL_SECONDS, _FOREIGN_POLL_SECONDS))
                yield None
                continue
            with active.changed:
                if active.done:
                    return
                active.changed.wait(min(_FOREIGN_POLL_SECONDS if left is None else left, _FOREIGN_POLL_SECONDS))
            yield active


def _environment(origin: Origin) -> dict[str, Any]:
    return {
        "gemel": version("gemel"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "host": socket.gethostname(),
        "site": "local",
        "twin_version": origin.version,
        "content": origin.content,
        "folder": str(origin.folder) if origin.folder else None,
    }

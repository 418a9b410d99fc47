"""The agent: asks its engine for tasks, does some at a time, and asks again, for ever."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gemel.base.errors import Conflict, GemelError, NotFound, StoreUnavailable, Unauthenticated
from gemel.base.ids import new_id
from gemel.infra.lake.agents._line import Line
from gemel.infra.lake.agents._site import Site
from gemel.infra.lake.agents._tasks import told
from gemel.infra.lake.agents._work import Withdrawn, Work
from gemel.infra.lake.storages import LocalStorage

_FIRST_SECONDS, _MOST_SECONDS = 0.2, 30.0  # between attempts to reach the engine
_AGAIN_SECONDS = 2.0  # between questions while another agent serves the storage
_BEAT_SECONDS = 2.0
_ANSWERS = 5  # attempts to bring an answer home
_STOP_SECONDS = 10.0
_JITTER = random.Random()  # spreads the calls of many agents; nothing depends on its numbers

#: Told what happens: one JSON object for each task, and for each change of the line.
Say = Callable[[dict[str, Any]], None]


class Agent:
    """An agent of a site.

    Args:
        site: What it is told.
        say: Told what happens.
    """

    def __init__(self, site: Site, say: Say) -> None:
        self.id = new_id("agent")
        self._site, self._say = site, say
        self._line = Line(site, self.id)
        self._work = Work(LocalStorage(site.storage, {"folder": str(site.folder)}))
        self._free = threading.Semaphore(site.tasks)
        self._hands: dict[str, _Hand] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._failures = 0
        self._state = ""

    def run(self) -> None:
        """Work until `stop` is called; tasks under way are given back then, and nothing of them is left."""
        self._tell("started", folder=str(self._site.folder))
        pool = ThreadPoolExecutor(self._site.tasks, thread_name_prefix="gemel-task")
        for target in (self._ask, self._beat, self._tidy):
            # A question that is open does not hold up the end of the process.
            name = f"gemel-agent{target.__name__.replace('_', '-')}"
            threading.Thread(target=target, args=(pool,), name=name, daemon=True).start()
        self._stop.wait()
        self._leave(pool)

    def stop(self) -> None:
        """Make `run` return."""
        self._stop.set()

    def _leave(self, pool: ThreadPoolExecutor) -> None:
        until = time.monotonic() + _STOP_SECONDS
        while self._hands and time.monotonic() < until:
            threading.Event().wait(0.02)
        pool.shutdown(wait=False, cancel_futures=True)
        with contextlib.suppress(GemelError):
            self._line.leave()
        self._tell("stopped")

    def _ask(self, pool: ThreadPoolExecutor) -> None:
        while not self._stop.is_set():
            self._free.acquire()
            taken = 1
            while taken < self._site.tasks and self._free.acquire(blocking=False):
                taken += 1
            tasks = self._polled(taken)
            for task in tasks:
                hand = _Hand(self._line, str(task["id"]), self._stop)
                with self._lock:
                    self._hands[hand.id] = hand
                pool.submit(self._do, task, hand)
            self._free.release(max(taken - len(tasks), 0)) if taken > len(tasks) else None

    def _polled(self, most: int) -> list[dict[str, Any]]:
        try:
            found = [dict(task) for task in self._line.poll(most, wait=self._state == "connected").get("tasks", [])]
        except Conflict as error:
            self._became("standing by", error)
            self._stop.wait(_AGAIN_SECONDS)
        except GemelError as error:
            self._failures += 1
            refused = isinstance(error, (Unauthenticated, PermissionError))
            self._became("refused" if refused else "away", error)
            pause = min(_FIRST_SECONDS * 2.0 ** (self._failures - 1), _MOST_SECONDS)
            self._stop.wait(pause * _JITTER.uniform(0.8, 1.2))
        except Exception as error:
            self._became("away", StoreUnavailable(f"The engine's answer is not understood: {error!r}."))
            self._stop.wait(_AGAIN_SECONDS)
        else:
            self._failures = 0
            self._became("connected", None)
            return found
        return []

    def _do(self, task: dict[str, Any], hand: _Hand) -> None:
        begun = time.monotonic()
        line: dict[str, Any] = {"task": hand.id, "verb": task.get("verb"), "path": task.get("path")}
        try:
            answer = self._work.do(task, hand)
            if answer is not None:
                self._brought(hand, {"result": answer})
            line["ended"] = "done"
        except Withdrawn:
            line["ended"] = "given back" if self._stop.is_set() else "withdrawn"
            with contextlib.suppress(GemelError):
                self._line.give_back(hand.id)
        except GemelError as error:
            line |= {"ended": "failed", "reason": error.message}
            self._brought(hand, {"error": told(error)})
        except Exception as error:
            line |= {"ended": "failed", "reason": repr(error)[:300]}
            self._brought(hand, {"error": told(StoreUnavailable(f"The agent failed: {type(error).__name__}."))})
        finally:
            with self._lock:
                self._hands.pop(hand.id, None)
            self._free.release()
        self._tell(**line, bytes=hand.done, seconds=round(time.monotonic() - begun, 3))

    def _brought(self, hand: _Hand, document: Mapping[str, Any]) -> None:
        """Bring an answer home, also over a short break of the line."""
        for attempt in range(_ANSWERS):
            try:
                self._line.answer(hand.id, document)
            except (NotFound, Conflict):
                return  # nobody waits for it
            except GemelError:
                if self._stop.wait(_FIRST_SECONDS * 2.0**attempt):
                    return
            else:
                return

    def _beat(self, pool: ThreadPoolExecutor) -> None:
        while not self._stop.wait(_BEAT_SECONDS):
            with self._lock:
                hands = dict(self._hands)
            if not hands:
                continue
            with contextlib.suppress(GemelError):
                for id in self._line.beat({id: hand.done for id, hand in hands.items()}):
                    if id in hands:
                        hands[id].withdrawn = True

    def _tidy(self, pool: ThreadPoolExecutor) -> None:
        # A folder of a site may hold millions of files: nobody waits for this.
        with contextlib.suppress(OSError):
            self._work.tidy(self._stop)

    def _became(self, state: str, error: GemelError | None) -> None:
        if self._state != state:
            self._state = state
            self._tell(state, **({} if error is None else {"reason": error.message, "hint": error.hint}))

    def _tell(self, state: str | None = None, **facts: Any) -> None:
        shown = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "storage": self._site.storage}
        self._say({**shown, **({} if state is None else {"agent": state}), **facts})


class _Hand:
    """What one task works with (see `Hand`)."""

    def __init__(self, line: Line, id: str, stop: threading.Event) -> None:
        self.id = id
        self.done = 0
        self.withdrawn = False
        self._line, self._stop = line, stop

    def progress(self, done: int) -> None:
        """Note how far it is."""
        self.done = done
        if self.withdrawn or self._stop.is_set():
            raise Withdrawn

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Iterator[bytes]]:
        """Yield the bytes that the engine sends."""
        with self._line.body(self.id) as parts:
            yield parts

    def send(self, pieces: Iterator[bytes] | list[bytes], answer: Mapping[str, Any] | None = None) -> None:
        """Send bytes to the engine."""
        self._line.send(self.id, self._counted(pieces) if answer is None else pieces, answer)
        if isinstance(pieces, list):
            self.done = sum(map(len, pieces))

    def _counted(self, pieces: Iterator[bytes] | list[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            if self.withdrawn or self._stop.is_set():
                raise Withdrawn
            yield piece

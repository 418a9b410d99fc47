"""What every request works with: the element, the place it names, and what its token allows."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from starlette.types import Receive

from gemel.faces.storage._digests import Digests
from gemel.faces.storage._errors import Refusal
from gemel.faces.storage._places import Spot, destination_of
from gemel.faces.storage._rights import Grant, Keys
from gemel.faces.storage._tree import Node, Tree, tree_of
from gemel.infra.lake.storages import Readable, Storages
from gemel.infra.lake.web import Web
from gemel.server import Hosting

P = ParamSpec("P")
R = TypeVar("R")
_LOOK_SECONDS = 1.0
_SHORT = 16  # threads for what takes a moment


@dataclass(frozen=True)
class Limits:
    """Of the element.

    Attributes:
        silence: Seconds without a byte after which the other side of a transfer is taken for gone.
        marker: Seconds between performance markers; clients expect one every five.
        transfers: Uploads, copies and digests that go on at once; more of them are told to come back later.
    """

    silence: float = 60.0
    marker: float = 2.0
    transfers: int = 64


class Element:
    """What all requests share.

    Args:
        hosting: The engine.
        limits: On time and on numbers.
    """

    def __init__(self, hosting: Hosting, limits: Limits) -> None:
        engine = hosting.service.engine
        self.storages: Storages = engine.storages
        self.keys = Keys(engine.settings.home)
        self.limits = limits
        self.digests = Digests()
        self.web = Web()
        self._turns: dict[tuple[str, str], tuple[threading.Lock, int]] = {}
        self._lock = threading.Lock()
        # Threads of its own: however many transfers go on, the server's other pages have theirs.
        self._short = ThreadPoolExecutor(_SHORT, thread_name_prefix="gemel-dav")
        self._long = ThreadPoolExecutor(limits.transfers, thread_name_prefix="gemel-transfer")
        self._going = 0

    async def soon(self, work: Callable[P, R], *args: P.args, **named: P.kwargs) -> R:
        """Return what blocking work returns that takes a moment."""
        return await asyncio.get_running_loop().run_in_executor(self._short, functools.partial(work, *args, **named))

    def start(self, work: Callable[P, R], *args: P.args, **named: P.kwargs) -> asyncio.Future[R]:
        """Return the future of blocking work that may take long.

        Raises:
            Refusal: There is too much of it already (503).
        """
        if self._going >= self.limits.transfers:
            raise Refusal(503, f"{self._going} transfers are going on already.", {"Retry-After": "30"})
        self._going += 1
        future = asyncio.get_running_loop().run_in_executor(self._long, functools.partial(work, *args, **named))
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: asyncio.Future[R]) -> None:
        self._going -= 1
        if not future.cancelled():
            future.exception()  # whoever waited for it may be gone

    @contextlib.contextmanager
    def commit(self, storage: str, path: str, stream: Readable, check: Callable[[], object]) -> Iterator[Readable]:
        """Yield a stream at whose end `check` is called while no other writer of the element may put its own in place."""
        with self._queue(storage, path) as turn:
            held = _AtEnd(stream, turn, check)
            try:
                yield held
            finally:
                held.release()

    @contextlib.contextmanager
    def turn(self, storage: str, path: str) -> Iterator[None]:
        """Keep other writers of the element from putting a file in place at a path."""
        with self._queue(storage, path) as turn, turn:
            yield

    @contextlib.contextmanager
    def _queue(self, storage: str, path: str) -> Iterator[threading.Lock]:
        key = (storage, path)
        with self._lock:
            turn, waiting = self._turns.get(key, (threading.Lock(), 0))
            self._turns[key] = turn, waiting + 1
        try:
            yield turn
        finally:
            with self._lock:
                turn, waiting = self._turns.pop(key)
                if waiting > 1:
                    self._turns[key] = turn, waiting - 1


class _AtEnd:
    """A stream that takes a lock and checks something once it ends."""

    def __init__(self, stream: Readable, turn: threading.Lock, check: Callable[[], object]) -> None:
        self._stream, self._turn, self._check = stream, turn, check
        self._held = False

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end."""
        piece = self._stream.read(size)
        if not piece and size and not self._held:
            self._held = self._turn.acquire()
            self._check()
        return piece

    def release(self) -> None:
        """Let the next writer go on."""
        if self._held:
            self._held = False
            self._turn.release()


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        element: Shared by all.
        method: Of HTTP.
        headers: By lower-case name.
        spot: What it is about.
        grant: What its token allows.
        receive: The body's messages.
        stopping: Set when the server stops.
    """

    element: Element
    method: str
    headers: Mapping[str, str]
    spot: Spot
    grant: Grant
    receive: Receive
    stopping: threading.Event

    def tree(self, storage: str | None = None) -> Tree:
        """Return the storage that is meant, as WebDAV sees it; blocks.

        Raises:
            NotFound: There is none of the name.
        """
        return tree_of(self.element.storages.get(storage or self.spot.storage))

    def node(self) -> Node:
        """Return what is at the place; blocks.

        Raises:
            Refusal: Nothing (404).
        """
        found = self.tree().look(self.spot.path)
        if found is None or (self.spot.slash and not found.folder):
            raise Refusal(404, f"There is nothing at '{self.spot.place}'.")
        return found

    async def ended(self, work: asyncio.Future[R], stop: Callable[[], object]) -> R:
        """Return what long work returns; `stop` makes it end when the server stops."""
        while not work.done():
            await asyncio.wait({work}, timeout=_LOOK_SECONDS)
            if self.stopping.is_set():
                stop()
        return work.result()

    def overwrites(self) -> bool:
        """Return whether what is at a destination may be replaced (RFC 4918, section 10.6).

        Raises:
            Refusal: The header says neither T nor F.
        """
        value = self.headers.get("overwrite", "T").strip().upper()
        if value not in ("T", "F"):
            raise Refusal(400, "The header Overwrite says T or F.")
        return value == "T"

    def destination(self) -> Spot | None:
        """Return the place of ours that `Destination` names, or None for another server's.

        Raises:
            InvalidInput: It cannot be understood.
        """
        return destination_of(self.headers["destination"], self.headers.get("host", ""))

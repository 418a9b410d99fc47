"""Processes that functions of the tests run, in instances of their own; and a manager of functions on a store."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gemel import process
from gemel.core.graph import Process
from gemel.core.stream import SqlEventLog
from gemel.core.stream.functions import Functions, FunctionSpec, Runnable, kept
from gemel.infra.store import Store

_never = threading.Event()


def note(path: str, line: str) -> None:
    """Append a line, whole: several processes do."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (line + "\n").encode())
    os.close(handle)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


@process
def doubled(number: float, side: str = "") -> float:
    """Twice the number."""
    if side:
        note(side, f"{number:g} {os.getpid()}")
    return 2 * number


@process
def modelled(side: str, number: int = 0) -> list[int]:
    """The number, the process, and how often a model was loaded in it."""

    def load() -> list[int]:
        note(side, f"loaded {os.getpid()}")
        return [0]

    uses = kept("model", load)
    uses[0] += 1
    return [number, os.getpid(), uses[0]]


@process
def gated(gate: str, side: str, number: int = 0) -> int:
    """The number, as soon as there is a file; notes when it begins and when it has ended."""
    note(side, f"begun {number} {os.getpid()}")
    while not Path(gate).exists():
        _never.wait(0.01)
    note(side, f"done {number}")
    return number


@process
def moody(mood: str, side: str = "") -> str:
    """Does harm."""
    if side:
        note(side, mood)
    if mood == "raises":
        print("about to raise")
        raise ValueError("no water")
    if mood == "exits":
        sys.exit(3)
    if mood == "vanishes":
        print("last words", flush=True)
        os._exit(7)
    if mood == "segfaults":
        ctypes.string_at(0)
    if mood == "hangs":
        _never.wait(600)
    if mood == "eats":
        held = [bytearray(50_000_000) for _ in range(100)]
        return str(len(held))
    if mood == "floods":
        return "x" * 11_000_000
    return mood


@process
def healed(cure: str, number: int) -> int:
    """The number, once there is a cure."""
    if not Path(cure).exists():
        raise RuntimeError("still ill")
    return number


@process
def seen(event: dict[str, Any], side: str, flow: float = 0.0) -> str:
    """Notes an event of a stream."""
    note(side, f"{event['id']} {flow:g}")
    return str(event["id"])


@process
def echoed(input: Any) -> Any:
    """Whatever came in."""
    return input


WORK = {item.id: item for item in (doubled, modelled, gated, moody, healed, seen, echoed)}


def make(name: str) -> Callable[..., Any]:
    return WORK[name].function


def found(spec: FunctionSpec) -> Runnable:
    """Return what a function of the tests runs."""
    import functools

    from gemel.base.errors import not_found

    if spec.process not in WORK:
        raise not_found("process", str(spec.process), WORK)
    work: Process = WORK[spec.process]
    return Runnable(work.parameters, functools.partial(make, spec.process))


def new_functions(store: Store, log: Any = None, engine: str = "engine-1", dead: tuple[str, ...] = ()) -> Functions:
    """Return functions that are not started; engines named in `dead` count as dead."""
    return Functions(store, log or SqlEventLog(store), engine=engine, alive=lambda id: id not in dead, find=found)


@contextlib.contextmanager
def at_work(store: Store, **options: Any) -> Iterator[Functions]:
    """Yield started functions, stopped at the end."""
    functions = new_functions(store, **options)
    functions.start()
    try:
        yield functions
    finally:
        functions.stop()

"""What a running step may tell: progress and log lines; and how it learns that it should stop."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gemel.core.graph._surroundings import Surroundings, within
from gemel.infra.compute import tell_engine


class Cancelled(BaseException):
    """Raised inside a step whose run was cancelled; not an `Exception`, so that user code does not swallow it."""


@dataclass
class StepContext:
    """The ear of the engine at one running step."""

    run: str
    node: str
    cancelled: threading.Event = field(default_factory=threading.Event)
    tell: Callable[[float, str], None] = lambda _fraction, _message: None
    lines: list[tuple[float, str, str]] = field(default_factory=list)


_current: contextvars.ContextVar[StepContext | None] = contextvars.ContextVar("gemel_step", default=None)


def progress(fraction: float, message: str = "") -> None:
    """Report that the current step has done `fraction` (0 to 1) of its work; a cancelled run stops here.

    Outside a run it does nothing, so a process can be called as a plain function.

    >>> progress(0.5, "half way")
    """
    context = _current.get()
    if context is None:
        return
    if context.cancelled.is_set():
        raise Cancelled
    context.tell(min(max(fraction, 0.0), 1.0), message)


def current_context() -> StepContext:
    """Return the context of the running step; an idle one outside of any."""
    return _current.get() or StepContext("", "")


@contextlib.contextmanager
def inside(context: StepContext) -> Iterator[None]:
    """Make `context` the current one for the block, so that progress and log records find it."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def call_in_worker(function: Callable[..., Any], run: str, node: str, place: Surroundings, **arguments: Any) -> Any:
    """Return the function's result, computed in a process of its own that tells progress and logs to the engine."""
    capture_logs()
    context = StepContext(run, node, tell=functools.partial(tell_engine, "progress"), lines=_Told())
    with inside(context), within(place):
        return function(**arguments)


class _Told(list[tuple[float, str, str]]):
    """Log lines that go to the engine at once, so that those of a killed step are known too."""

    def append(self, line: tuple[float, str, str]) -> None:
        tell_engine("log", *line)


class _StepLogHandler(logging.Handler):
    """Keeps what a step logs with the step; records from outside a step pass it by."""

    def emit(self, record: logging.LogRecord) -> None:
        context = _current.get()
        if context is not None:
            context.lines.append((time.time(), record.levelname.lower(), record.getMessage()))
            return
        # Being the only handler must not silence the warnings that Python would have printed without it.
        fallback = logging.lastResort if logging.getLogger().handlers == [self] else None
        if fallback is not None and record.levelno >= fallback.level:
            fallback.handle(record)


_installed = threading.Lock()


def capture_logs() -> None:
    """Attach the handler that keeps step logs to the root logger, once per process."""
    root = logging.getLogger()
    with _installed:
        if not any(isinstance(handler, _StepLogHandler) for handler in root.handlers):
            if not root.handlers and root.level == logging.WARNING:
                root.setLevel(logging.INFO)  # Python's own default would drop what steps tell
            root.addHandler(_StepLogHandler(level=logging.INFO))

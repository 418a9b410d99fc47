"""The one error tree of gemel.

Every error carries a stable `code` (a slug that faces map to their own shapes), a `message` for people, a `hint`
that names the next thing to do, and a `context` of plain values. Each class also derives from the built-in a caller
would expect, so `except ValueError` around a bad graph works.

    GemelError
     ├─ InvalidInput (ValueError)     ├─ NotFound (LookupError)       ├─ Conflict (RuntimeError)
     │   ├─ ConfigInvalid             ├─ Denied (PermissionError)     ├─ StoreUnavailable (OSError)
     │   ├─ GraphInvalid              │   └─ Unauthenticated          │   ├─ StoreFull
     │   ├─ TwinInvalid               ├─ StepFailed (RuntimeError)    │   └─ ResultCorrupt
     │   ├─ UnitMismatch              │   └─ StepTimeout (TimeoutError)
     │   ├─ OutOfBounds               ├─ PluginBroken (ImportError)   ├─ PortInUse (OSError)
     │   └─ ProcessRefused            ├─ Diverged (ArithmeticError)
     └─ CheckFailed (AssertionError)  │   └─ MissingExtra             └─ EngineStopped (RuntimeError)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class GemelError(Exception):
    """Root of all errors that gemel raises on purpose.

    Args:
        message: What went wrong and where, in one sentence.
        hint: What to do next; a command where there is one.
        **context: Plain JSON-able values that machines may want (names, bounds, paths).

    >>> error = NotFound("No twin 'flod'.", hint="gemel twins", name="flod")
    >>> error.document()["code"], isinstance(error, LookupError)
    ('not-found', True)
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        """Return the message alone (OSError would print its errno)."""
        return self.message

    def document(self) -> dict[str, Any]:
        """Return the error as the JSON object that `--json` and the API show."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "context": self.context}


class InvalidInput(GemelError, ValueError):
    """Something a person or program handed in cannot be used."""

    code = "input.invalid"


class ConfigInvalid(InvalidInput):
    """A configuration file, variable or `--set` is wrong."""

    code = "config.invalid"


class GraphInvalid(InvalidInput):
    """A graph failed validation; `context["findings"]` lists every finding with its node."""

    code = "graph.invalid"


class TwinInvalid(InvalidInput):
    """A twin package (`twin.toml`, code or card) is malformed."""

    code = "twin.invalid"


class UnitMismatch(InvalidInput):
    """Two units measure different things and cannot be converted."""

    code = "unit.mismatch"


class OutOfBounds(InvalidInput):
    """A value lies outside the bounds that were declared for it."""

    code = "input.out-of-bounds"


class ProcessRefused(InvalidInput):
    """A process refuses its arguments for a reason that its specification names (`context["exception"]`)."""

    code = "process.refused"


class DoesNotFit(GemelError, MemoryError):
    """A computation needs more memory than it may use, however it is cut; nothing was started."""

    code = "memory.does-not-fit"


class NotFound(GemelError, LookupError):
    """A named thing does not exist."""

    code = "not-found"


class Conflict(GemelError, RuntimeError):
    """The request contradicts what is already there (an immutable version, a running run)."""

    code = "conflict"


class Denied(GemelError, PermissionError):
    """The caller is known but may not do this."""

    code = "access.denied"


class Unauthenticated(Denied):
    """The caller did not show a valid token."""

    code = "access.unauthenticated"


class StepFailed(GemelError, RuntimeError):
    """A step of a run raised; names the step, the process and the cause."""

    code = "run.step-failed"


class StepTimeout(StepFailed, TimeoutError):
    """A step ran longer than its limit and was stopped."""

    code = "run.timeout"


class StoreUnavailable(GemelError, OSError):
    """The database or the file store cannot be reached."""

    code = "store.unavailable"


class StoreFull(StoreUnavailable):
    """No space left where results are kept; nothing was half-written."""

    code = "store.full"


class ResultCorrupt(StoreUnavailable):
    """A stored result does not match its digest."""

    code = "store.corrupt"


class PluginBroken(GemelError, ImportError):
    """A plugin is registered but cannot be loaded."""

    code = "plugin.broken"


class MissingExtra(PluginBroken):
    """An optional package is needed and absent."""

    code = "extra.missing"


class MissingTool(GemelError, FileNotFoundError):
    """A program of the operating system is needed and absent."""

    code = "tool.missing"


class Unconfined(Denied):
    """Foreign code was not run, because nothing here can confine it."""

    code = "sandbox.missing"


class CheckFailed(GemelError, AssertionError):
    """A check did not pass and its gate stays shut."""

    code = "check.failed"


class Diverged(GemelError, ArithmeticError):
    """A training came to a loss that is no number."""

    code = "training.diverged"


class PortInUse(GemelError, OSError):
    """The address asked for is taken by another program."""

    code = "server.port-in-use"


class EngineStopped(GemelError, RuntimeError):
    """The engine is shutting down or not reachable."""

    code = "engine.stopped"


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return a clause like ``Did you mean 'runoff'?``, or an empty string when nothing is near.

    >>> did_you_mean("runof", ["runoff", "snow"])
    "Did you mean 'runoff'?"
    """
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""


def not_found(kind: str, name: str, choices: Iterable[str], *, command: str | None = None) -> NotFound:
    """Return a `NotFound` that names the nearest existing `kind`, or the command that lists them all."""
    known = sorted(choices)
    hint = did_you_mean(name, known) or (f"List them with: {command}" if command else None)
    return NotFound(f"There is no {kind} '{name}'.", hint=hint, kind=kind, name=name)

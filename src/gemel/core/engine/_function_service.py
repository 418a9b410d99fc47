"""All that may be asked of functions from outside, answered in JSON documents."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gemel.base.clock import iso
from gemel.core.stream.functions import Call, Deployment, Functions, FunctionSpec

Document = dict[str, Any]


class FunctionService:
    """The functions of an engine, seen through documents.

    A call's document has the call (see `Call.document`) and, where it is asked for by its id, its `output`: JSON values
    as they are under `value`, everything else in base64 under `base64`; None as long as there is none.
    """

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    def list(self) -> Sequence[Document]:
        """Return every function with its calls by state and its instances here; tokens are left out."""
        status = self._functions.status()
        return [_shown(item) | {"status": status.get(item.spec.name)} for item in self._functions.list()]

    def problems(self) -> dict[str, Document]:
        """Return what is wrong with functions, by name: calls that failed for good, a stream that cannot be read."""
        found: dict[str, Document] = {}
        for name, status in self._functions.status().items():
            if status["problem"]:
                found[name] = {
                    "code": "function.stream",
                    "message": str(status["problem"]),
                    "hint": None,
                    "context": {},
                }
            elif status["failed"]:
                message = f"{status['failed']} calls of function '{name}' failed for good."
                hint = f"gemel function calls {name} --state failed, then: gemel function replay {name}"
                found[name] = {"code": "function.dead", "message": message, "hint": hint, "context": {}}
        return found

    def get(self, name: str) -> Document:
        """Return a function with its token.

        Raises:
            NotFound: There is none of that name.
        """
        found = self._functions.get(name)
        return _shown(found) | {"token": found.token, "status": self._functions.status().get(name)}

    def deploy(self, document: Mapping[str, Any], *, replace: bool = False) -> Document:
        """Return a function after it was deployed; one of the same name is changed where `replace` is set.

        Raises:
            InvalidInput: The description is wrong.
            Conflict: There is one of that name.
            NotFound: What it runs is not there.
        """
        spec = FunctionSpec.from_document(document)
        known = {item.spec.name for item in self._functions.list()}
        if replace and spec.name in known:
            self._functions.update(spec)
        else:
            self._functions.deploy(spec)
        return self.get(spec.name)

    def remove(self, name: str) -> None:
        """Forget a function and its calls.

        Raises:
            NotFound: There is none of that name.
        """
        self._functions.remove(name)

    def invoke(self, name: str, input: Any = None, *, cause: str | None = None, wait: float | None = 0.0) -> Document:
        """Return a call that waits to be run, or as it is after `wait` seconds.

        Args:
            name: Of the function.
            input: Bytes as they are, everything else as JSON; None for nothing.
            cause: What it is for: a second call for the same cause is the first.
            wait: Seconds to wait for its end; None for as long as it takes.

        Raises:
            NotFound: There is no such function.
            InvalidInput: The input is too large.
            StoreFull: Too many calls wait.
        """
        data = b"" if input is None else input if isinstance(input, bytes) else json.dumps(input).encode()
        return self._whole(self._functions.invoke(name, data, cause=cause, wait=wait))

    def call(self, id: str, wait: float | None = 0.0) -> Document:
        """Return a call with its output, at once or after it ended (or the time is up).

        Raises:
            NotFound: There is none.
        """
        return self._whole(self._functions.call(id) if wait == 0.0 else self._functions.wait(id, wait))

    def calls(self, name: str | None = None, state: str | None = None, limit: int = 50) -> Sequence[Document]:
        """Return calls (of a function, in a state), the newest first, without their outputs.

        Raises:
            NotFound: There is no such function.
            InvalidInput: There is no such state.
        """
        if name is not None:
            self._functions.get(name)
        return [call.document() for call in self._functions.calls(name, state, limit)]

    def replay(self, name: str, call: str | None = None) -> Sequence[str]:
        """Return the ids of the dead letters of a function (all, or one) that wait again.

        Raises:
            NotFound: There is no such function, or the call is no dead letter of it.
        """
        return self._functions.replay(name, call)

    def logs(self, call: str) -> str:
        """Return the end of what a call's last attempt printed.

        Raises:
            NotFound: There is no such call.
        """
        return self._functions.logs(call)

    def output(self, call: str) -> bytes | None:
        """Return the result of a call as it is, None when it has none.

        Raises:
            NotFound: There is no such call.
        """
        return self._functions.output(call)

    def _whole(self, call: Call) -> Document:
        return call.document() | {"output": _told(self._functions.output(call.id))}


def _shown(item: Deployment) -> Document:
    times = {"created": item.created, "changed": item.changed}
    shown = {name: iso(datetime.fromtimestamp(seconds, UTC)) for name, seconds in times.items()}
    return {"function": item.spec.document(), **shown}


def _told(output: bytes | None) -> Document | None:
    if output is None:
        return None
    try:
        return {"value": json.loads(output)}
    except (ValueError, RecursionError):
        return {"base64": base64.b64encode(output).decode()}

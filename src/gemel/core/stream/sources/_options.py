"""The options of a source, checked when it is opened: known, complete, of the right kind, and without secrets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from gemel.base.clock import parse_duration, parse_instant
from gemel.base.config import secret
from gemel.base.errors import InvalidInput, did_you_mean
from gemel.base.sizes import parse_size
from gemel.core.stream.sources._source import SourceContext


class Options:
    """What `twin.toml` says about one source.

    Args:
        context: Of the source.
        kind: Of source, for messages.
        known: Names of the options there are.
        required: Those that must be there.

    Raises:
        InvalidInput: One is not known, or is missing.
    """

    def __init__(self, context: SourceContext, kind: str, known: Sequence[str], required: Sequence[str] = ()) -> None:
        self._given, self._who = context.options, f"Source '{context.name}' ({kind})"
        for option in context.options:
            if option not in known:
                hint = did_you_mean(option, known) or f"It takes: {', '.join(known)}."
                raise InvalidInput(f"{self._who} has no option '{option}'.", hint=hint)
        for option in required:
            if context.options.get(option) in (None, "", []):
                raise InvalidInput(f"{self._who} names no {option}.", hint=f"Add {option} under its [sources.…].")

    def __contains__(self, name: str) -> bool:
        """Return whether an option was given."""
        return name in self._given

    def refuse(self, name: str, why: str, hint: str | None = None) -> InvalidInput:
        """Return the error for an option that makes no sense."""
        return InvalidInput(f"{self._who}: {name} = {self._given.get(name)!r} {why}.", hint=hint)

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        found = self._given.get(name, default)
        if not isinstance(found, str):
            raise self.refuse(name, "is no text")
        return found

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; one text is a list of one."""
        found = self._given.get(name, [])
        found = [found] if isinstance(found, str) else found
        if not isinstance(found, list | tuple) or not all(isinstance(item, str) and item for item in found):
            raise self.refuse(name, "is no text, and no list of texts")
        return list(found)

    def table(self, name: str) -> dict[str, Any]:
        """Return a table."""
        found = self._given.get(name, {})
        if not isinstance(found, Mapping):
            raise self.refuse(name, "is no table", 'Write it like { flow = "result.value" }.')
        return dict(found)

    def one_of(self, name: str, choices: Sequence[str]) -> str:
        """Return one of several texts; the first is the default."""
        found = self.text(name, choices[0])
        if found not in choices:
            raise self.refuse(name, "is not known", did_you_mean(found, choices) or f"It is {' or '.join(choices)}.")
        return found

    def whole(self, name: str, default: int, least: int = 0, most: int = 1 << 31) -> int:
        """Return a whole number between two bounds."""
        found = self._given.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
            raise self.refuse(name, f"is no whole number from {least} to {most}")
        return found

    def seconds(self, name: str, default: str, least: float = 0.0) -> float:
        """Return a duration in seconds."""
        found = self._given.get(name, default)
        try:
            length = parse_duration(str(found)).total_seconds()
        except (InvalidInput, OverflowError) as error:
            raise self.refuse(name, "is no duration", "Write a number and a unit, like '10 s'.") from error
        if length < least:
            raise self.refuse(name, f"is less than {least:g} s")
        return length

    def size(self, name: str, default: str) -> int:
        """Return a number of bytes."""
        try:
            return parse_size(str(self._given.get(name, default)))
        except InvalidInput as error:
            raise self.refuse(name, "is no amount of memory", "Write it like '1 MB'.") from error

    def instant(self, name: str) -> datetime | None:
        """Return an instant, None when the option was not given."""
        return parse_instant(str(self._given[name])) if name in self._given else None

    def numbers(self, name: str, count: int) -> list[float]:
        """Return a list of so many numbers, or an empty one when the option was not given."""
        found = self._given.get(name, [])
        good = isinstance(found, list | tuple) and all(type(item) in (int, float) for item in found)
        if not good or len(found) not in (0, count) or not all(math.isfinite(item) for item in found):
            raise self.refuse(name, f"is no list of {count} numbers")
        return [float(item) for item in found]

    def url(self, name: str, schemes: Sequence[str]) -> str:
        """Return an address without a slash at its end; it holds no password."""
        found = self.text(name).rstrip("/")
        try:
            parts = urlsplit(found)
            port_is_fine = parts.port is None or parts.port > 0
        except ValueError as error:
            raise self.refuse(name, f"is no address: {error}") from error
        if parts.scheme not in schemes or not parts.hostname or not port_is_fine:
            raise self.refuse(name, "is no address", f"Write it like {schemes[0]}://host.")
        if parts.password:
            # Not shown again: it has a secret in it.
            message = f"{self._who}: the {name} has a password in it."
            raise InvalidInput(message, hint="Give it by reference: password = 'env:NAME' or 'file:PATH'.")
        return found

    def reference(self, name: str) -> str | None:
        """Return the reference to a secret (``env:NAME`` or ``file:PATH``), None when there is none."""
        found = self._given.get(name)
        if found is not None and (not isinstance(found, str) or found.partition(":")[0] not in ("env", "file")):
            message = f"{self._who}: {name} must say where the secret is, not what it is."
            raise InvalidInput(message, hint=f"Write {name} = 'env:VARIABLE' or 'file:PATH'.")
        return found


def revealed(reference: str | None) -> str | None:
    """Return the secret behind a reference, read anew each time so that a renewed one is used.

    Raises:
        ConfigInvalid: It is not there.
    """
    return None if reference is None else secret(reference)

"""What an exchange with Rucio did, and what it could not do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gemel.infra.lake.rucio._facts import ThereRule


@dataclass(frozen=True)
class Refused:
    """Something that could not be exchanged: its name, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Report:
    """The outcome of one exchange; nothing that was asked for is missing in it.

    Attributes:
        new: Names of what was made, or got a replica, a member or a rule that it did not have.
        known: Names of what was there, as it is.
        refused: What could not be exchanged; nothing of it was changed.
        notes: What holds of the whole exchange, such as facts that the other side cannot keep.
        rules: Those of Rucio's about what was seen here; they are read, and not obeyed here.
    """

    new: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()
    rules: tuple[ThereRule, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        shown: dict[str, Any] = {"new": list(self.new), "known": list(self.known), "notes": list(self.notes)}
        shown["refused"] = [{"name": item.name, "reason": item.reason} for item in self.refused]
        return shown | {"rules": [rule.document() for rule in self.rules]}


class Tally:
    """A report in the making; the last word on a name counts, and a refusal is the last one."""

    def __init__(self) -> None:
        self._done: dict[str, bool] = {}
        self._refused: dict[str, str] = {}
        self._notes: dict[str, None] = {}

    def new(self, name: object) -> None:
        """Note something that was made, or changed."""
        self._done[str(name)] = True

    def known(self, name: object) -> None:
        """Note something that was there."""
        self._done.setdefault(str(name), False)

    def refuse(self, name: object, reason: str) -> None:
        """Note something that could not be."""
        self._refused.setdefault(str(name), reason)

    def note(self, text: str) -> None:
        """Note something about the whole."""
        self._notes[text] = None

    def refuses(self, name: object) -> bool:
        """Return whether something was refused."""
        return str(name) in self._refused

    def report(self, rules: tuple[ThereRule, ...] = ()) -> Report:
        """Return what was noted."""
        done = {name: made for name, made in self._done.items() if name not in self._refused}
        new, known = ([name for name, made in done.items() if made is wanted] for wanted in (True, False))
        refused = tuple(Refused(name, reason) for name, reason in self._refused.items())
        return Report(tuple(new), tuple(known), refused, tuple(self._notes), rules)

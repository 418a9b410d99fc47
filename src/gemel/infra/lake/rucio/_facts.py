"""What a Rucio server says of its things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

KINDS = {"FILE": "file", "DATASET": "dataset", "CONTAINER": "container"}
AVAILABLE, UNAVAILABLE = "AVAILABLE", "UNAVAILABLE"
_DATE = "%a, %d %b %Y %H:%M:%S UTC"
_ALGORITHMS = ("adler32", "md5")


class Did(NamedTuple):
    """The name of a data identifier."""

    scope: str
    name: str

    def __str__(self) -> str:
        """Return `scope:name`."""
        return f"{self.scope}:{self.name}"

    @property
    def body(self) -> dict[str, str]:
        """Return it as JSON."""
        return {"scope": self.scope, "name": self.name}


@dataclass(frozen=True)
class Known:
    """A data identifier.

    Attributes:
        did: Its name.
        kind: `file`, `dataset` or `container`.
        size: Bytes of a file, where they are told.
        digests: Of a file, in hexadecimal by algorithm (`adler32`, `md5`), as far as they are known there.
        account: Who made it.
        created: Seconds since 1970-01-01 UTC.
        expires: The same; None for never.
    """

    did: Did
    kind: str
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    account: str | None = None
    created: float | None = None
    expires: float | None = None

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Known:
        """Return what a document of Rucio's says."""
        kind = str(told.get("did_type") or told.get("type") or "FILE")
        size = None if told.get("bytes") is None else int(told["bytes"])
        facts = told.get("account"), instant(told.get("created_at")), instant(told.get("expired_at"))
        return cls(_did(told), KINDS.get(kind, kind.lower()), size, _digests(told), *facts)


@dataclass(frozen=True)
class Held:
    """A file with its replicas.

    Attributes:
        did: Its name.
        size: In bytes.
        digests: In hexadecimal by algorithm.
        places: Addresses (PFNs) by RSE; those that can be read first.
        states: Of the replicas by RSE: `AVAILABLE`, `UNAVAILABLE`, `COPYING`, ...
    """

    did: Did
    size: int
    digests: Mapping[str, str]
    places: Mapping[str, tuple[str, ...]]
    states: Mapping[str, str]

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Held:
        """Return what a line of a list of replicas says."""
        places = {str(rse): tuple(map(str, found)) for rse, found in (told.get("rses") or {}).items()}
        states = {str(rse): str(state) for rse, state in (told.get("states") or {}).items()}
        return cls(_did(told), int(told.get("bytes") or 0), _digests(told), places, states)

    def available(self, rse: str) -> bool:
        """Return whether there is a whole replica on an RSE."""
        return self.states.get(rse, AVAILABLE) == AVAILABLE and bool(self.places.get(rse))


@dataclass(frozen=True)
class Protocol:
    """One way to the files of an RSE.

    Attributes:
        scheme: `https`, `davs`, `file`, ...
        host: Its name.
        port: Its number; 0 for the scheme's own.
        prefix: Path of all files, with slashes at both ends.
        writable: Whether files may be written this way from afar.
    """

    scheme: str
    host: str
    port: int
    prefix: str
    writable: bool = True

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Protocol:
        """Return what a document of Rucio's says."""
        domains = (told.get("domains") or {}).values()
        writable = any(isinstance(item, Mapping) and item.get("write") for item in domains)
        place = str(told.get("hostname") or ""), int(told.get("port") or 0), str(told.get("prefix") or "/")
        return cls(str(told["scheme"]), *place, writable)


@dataclass(frozen=True)
class Rse:
    """A storage element of Rucio's.

    Attributes:
        name: Its name.
        deterministic: Whether Rucio says where a file lies by its name.
        protocols: Ways to its files.
    """

    name: str
    deterministic: bool
    protocols: tuple[Protocol, ...]

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Rse:
        """Return what a document of Rucio's says."""
        protocols = tuple(Protocol.read(item) for item in told.get("protocols") or ())
        return cls(str(told["rse"]), bool(told.get("deterministic", True)), protocols)


@dataclass(frozen=True)
class ThereRule:
    """A rule of Rucio's.

    Attributes:
        id: Of the rule.
        did: What it is about.
        account: Whose it is.
        copies: How many.
        expression: On which RSEs.
        state: `OK`, `REPLICATING`, `STUCK`, `SUSPENDED`, ...
        locks: How many replicas are ok, on their way, and stuck.
        expires: Seconds since 1970-01-01 UTC; None for never.
        reason: Why it is stuck.
    """

    id: str
    did: Did
    account: str
    copies: int
    expression: str
    state: str
    locks: tuple[int, int, int]
    expires: float | None = None
    reason: str | None = None

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> ThereRule:
        """Return what a document of Rucio's says."""
        ok, moving, stuck = (int(told.get(f"locks_{item}_cnt") or 0) for item in ("ok", "replicating", "stuck"))
        facts = str(told["account"]), int(told["copies"]), str(told["rse_expression"]), str(told["state"])
        until = instant(told.get("expires_at"))
        return cls(str(told["id"]), _did(told), *facts, (ok, moving, stuck), until, told.get("error"))

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        shown = {"id": self.id, "name": str(self.did), "account": self.account, "copies": self.copies}
        return shown | {"expression": self.expression, "state": self.state, "reason": self.reason}


def instant(text: Any) -> float | None:
    """Return a date of Rucio's in seconds since 1970-01-01 UTC, or None.

    >>> instant("Sat, 21 Nov 2026 20:52:53 UTC")
    1795294373.0
    """
    try:
        return datetime.strptime(text, _DATE).replace(tzinfo=UTC).timestamp() if text else None
    except (TypeError, ValueError):
        return None


def _did(told: Mapping[str, Any]) -> Did:
    return Did(str(told["scope"]), str(told["name"]))


def _digests(told: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(told[name]).lower() for name in _ALGORITHMS if told.get(name)}

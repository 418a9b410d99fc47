"""Transfers, storages, token profiles, rules and watches of an engine behind an address."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from gemel.core.engine import is_over, progress_of
from gemel.sdk._connection import Connection, Document, part, patient
from gemel.sdk._data_transport import Documents, Told

_TOGETHER = 100  # transfers that are asked for in one request
_LOOK_SECONDS = 1.0


class HttpMoving:
    """Transfers.

    Args:
        connection: The line to the engine.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def request(self, names: Iterable[str], storage: str, *, only: bool = False, priority: int = 0) -> Documents:
        """Return transfers, queued now, that bring files to a storage."""
        body = {"names": list(names), "storage": storage, "only": only, "priority": priority}
        return builtins.list(self._connection.post("/data/transfers", body)["transfers"])

    def list(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        ids: Collection[str] | None = None,
        limit: int = 100,
    ) -> Documents:
        """Return transfers, the newest first."""
        wanted = None if ids is None else builtins.list(ids)
        found = self._connection.get("/data/transfers", state=state, name=name, id=wanted, limit=limit)
        return builtins.list(found["transfers"])

    def get(self, id: str) -> Document:
        """Return a transfer."""
        return self._connection.get(f"/data/transfers/{part(id)}")

    def cancel(self, id: str) -> Document:
        """Return a transfer after asking for its end."""
        return self._connection.post(f"/data/transfers/{part(id)}/cancel")

    def work(self, ids: Sequence[str], told: Told | None = None) -> Documents:
        """Return transfers after each has ended; it is the engine that works on them."""
        found: dict[str, Document] = {}
        while True:
            waiting = [id for id in ids if id not in found or not is_over(found[id])]
            if told is not None and len(found) == len(set(ids)):
                told(progress_of([found[id] for id in ids]))
            if not waiting:
                return [found[id] for id in ids]
            for start in range(0, len(waiting), _TOGETHER):
                found |= self._seen(waiting[start : start + _TOGETHER], alone=len(waiting) <= _TOGETHER)
            if len(waiting) > _TOGETHER:
                threading.Event().wait(_LOOK_SECONDS)

    def _seen(self, ids: Sequence[str], alone: bool) -> dict[str, Document]:
        wait = _LOOK_SECONDS if alone else 0.0
        listed = self._connection.get("/data/transfers", id=builtins.list(ids), wait=wait)["transfers"]
        found = {item["id"]: item for item in listed}
        return {id: found[id] if id in found else self.get(id) for id in ids}


class HttpKeeping:
    """Storages, token profiles, rules and watches.

    Args:
        connection: The line to the engine.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def storages(self) -> Documents:
        """Return every storage."""
        return list(self._connection.get("/data/storages")["storages"])

    def storage(self, name: str) -> Document:
        """Return one storage."""
        return self._connection.get(f"/data/storages/{part(name)}")

    def add_storage(self, name: str, kind: str, options: Mapping[str, str], **standing: Any) -> Document:
        """Return a storage that was declared now."""
        body = {"name": name, "kind": kind, "options": dict(options), **_listed(standing)}
        return self._connection.post("/data/storages", body)

    def set_storage(self, name: str, **standing: Any) -> Document:
        """Return a storage after some of `site`, `tags` and `quota` were changed."""
        answer = self._connection.send("PATCH", f"/data/storages/{part(name)}", json=_listed(standing, none=True))
        return dict(answer.json())

    def remove_storage(self, name: str) -> None:
        """Forget a storage."""
        self._connection.send("DELETE", f"/data/storages/{part(name)}")

    def reclaim(self, name: str, wanted: int | None = None) -> Documents:
        """Return the copies that were dropped from a storage."""
        return self._patiently(f"/data/storages/{part(name)}/reclaim", {"bytes": wanted}, "reclaimed")

    def tokens(self) -> Documents:
        """Return every token profile."""
        return list(self._connection.get("/data/tokens")["tokens"])

    def add_token(self, name: str, kind: str, options: Mapping[str, str]) -> Document:
        """Return a token profile that was declared now."""
        return self._connection.post("/data/tokens", {"name": name, "kind": kind, "options": dict(options)})

    def remove_token(self, name: str) -> None:
        """Forget a token profile."""
        self._connection.send("DELETE", f"/data/tokens/{part(name)}")

    def try_token(self, storage: str, operation: str, path: str) -> Document:
        """Return that a token was had, and until when it is good."""
        body = {"storage": storage, "operation": operation, "path": path}
        return self._connection.post("/data/tokens/try", body)

    def rules(self, name: str | None = None) -> Documents:
        """Return all rules, or those of one name."""
        return list(self._connection.get("/data/rules", name=name)["rules"])

    def rule(self, id: str) -> Document:
        """Return a rule."""
        return self._connection.get(f"/data/rules/{part(id)}")

    def add_rule(self, name: str, copies: int, **places: Any) -> Document:
        """Return a new rule."""
        return self._connection.post("/data/rules", {"name": name, "copies": copies, **_listed(places)})

    def remove_rule(self, id: str) -> None:
        """Forget a rule."""
        self._connection.send("DELETE", f"/data/rules/{part(id)}")

    def keep(self) -> Document:
        """Return what one round did, made now."""
        return dict(self._connection.send("POST", "/data/rounds", **patient()).json())

    def watches(self) -> Documents:
        """Return the watched folders and buckets."""
        return list(self._connection.get("/data/watches")["watches"])

    def add_watch(self, storage: str, folder: str, scope: str, **options: str | None) -> Document:
        """Return a new watch."""
        body = {"storage": storage, "folder": folder, "scope": scope, **_listed(options)}
        return self._connection.post("/data/watches", body)

    def remove_watch(self, id: str) -> None:
        """Forget a watch."""
        self._connection.send("DELETE", f"/data/watches/{part(id)}")

    def scan(self) -> list[str]:
        """Return the names of what arrived in watched places."""
        return self._patiently("/data/watches/scan", None, "registered")

    def notified(self, document: Mapping[str, Any]) -> list[str]:
        """Return the names of what a notification tells of."""
        return self._patiently("/data/notifications", dict(document), "registered")

    def _patiently(self, path: str, body: Any, member: str) -> list[Any]:
        return list(self._connection.send("POST", path, json=body, **patient()).json()[member])


def _listed(given: Mapping[str, Any], *, none: bool = False) -> Document:
    """Return members for a body: lists for tuples, without what is None unless it means something."""
    shown = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    return {key: value for key, value in shown.items() if none or value is not None}

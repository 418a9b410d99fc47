"""What the client asks of an engine's lake; `gemel.core.engine.DataService` answers in this process."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Document = dict[str, Any]
Documents = list[Document]
Facts = Mapping[str, Any] | None
Told = Callable[[Mapping[str, Any]], None]


class MovingTransport(Protocol):
    """Transfers between storages."""

    def request(self, names: Iterable[str], storage: str, *, only: bool = False, priority: int = 0) -> Documents:
        """Return transfers, queued now, that bring files to a storage."""

    def list(
        self,
        *,
        state: str | None = None,
        name: str | None = None,
        ids: Collection[str] | None = None,
        limit: int = 100,
    ) -> Documents:
        """Return transfers, the newest first."""

    def get(self, id: str) -> Document:
        """Return a transfer."""

    def cancel(self, id: str) -> Document:
        """Return a transfer after asking for its end."""

    def work(self, ids: Sequence[str], told: Told | None = None) -> Documents:
        """Return transfers after each has ended."""


class KeepingTransport(Protocol):
    """Storages, token profiles, rules and watches."""

    def storages(self) -> Documents:
        """Return every storage."""

    def storage(self, name: str) -> Document:
        """Return one storage."""

    def add_storage(self, name: str, kind: str, options: Mapping[str, str], **standing: Any) -> Document:
        """Return a storage that was declared now."""

    def set_storage(self, name: str, **standing: Any) -> Document:
        """Return a storage after some of `site`, `tags` and `quota` were changed."""

    def remove_storage(self, name: str) -> None:
        """Forget a storage."""

    def reclaim(self, name: str, wanted: int | None = None) -> Documents:
        """Return the copies that were dropped from a storage."""

    def tokens(self) -> Documents:
        """Return every token profile."""

    def add_token(self, name: str, kind: str, options: Mapping[str, str]) -> Document:
        """Return a token profile that was declared now."""

    def remove_token(self, name: str) -> None:
        """Forget a token profile."""

    def try_token(self, storage: str, operation: str, path: str) -> Document:
        """Return that a token was had, and until when it is good."""

    def rules(self, name: str | None = None) -> Documents:
        """Return all rules, or those of one name."""

    def rule(self, id: str) -> Document:
        """Return a rule."""

    def add_rule(self, name: str, copies: int, **places: Any) -> Document:
        """Return a new rule."""

    def remove_rule(self, id: str) -> None:
        """Forget a rule."""

    def keep(self) -> Document:
        """Return what one round did, made now."""

    def watches(self) -> Documents:
        """Return the watched folders and buckets."""

    def add_watch(self, storage: str, folder: str, scope: str, **options: str | None) -> Document:
        """Return a new watch."""

    def remove_watch(self, id: str) -> None:
        """Forget a watch."""

    def scan(self) -> list[str]:
        """Return the names of what arrived in watched places."""

    def notified(self, document: Mapping[str, Any]) -> list[str]:
        """Return the names of what a notification tells of."""


class DataTransport(Protocol):
    """Datasets, and what moves and keeps them."""

    @property
    def moving(self) -> MovingTransport:
        """Return the way to transfers."""

    @property
    def keeping(self) -> KeepingTransport:
        """Return the way to storages, token profiles, rules and watches."""

    def find(self, query: Iterable[str] = (), *, after: str | None = None, limit: int | None = None) -> Documents:
        """Return the datasets that all words of a query fit."""

    def get(self, name: str) -> Document:
        """Return what is known of a dataset."""

    def put(
        self, file: Path, name: str, about: Facts = None, *, storage: str = "home", told: Told | None = None
    ) -> Document:
        """Return a file of this machine after it was stored."""

    def fetch(self, name: str, file: Path, *, replace: bool = False, told: Told | None = None) -> Document:
        """Return a file after a verified copy of it lies on this machine."""

    def open(self, name: str, options: Mapping[str, Any] | None = None) -> Any:
        """Return what a file holds."""

    def describe(self, name: str, options: Mapping[str, Any] | None = None, rows: int = 0) -> Document:
        """Return what a file holds, in words and a few values."""

    def register(self, name: str, storage: str, path: str, about: Facts = None) -> Document:
        """Return a file that lies on a storage already, named now."""

    def register_folder(
        self, scope: str, storage: str, folder: str, about: Facts = None, *, told: Told | None = None
    ) -> list[str]:
        """Return the names of all files below a folder of a storage that were named just now."""

    def group(self, name: str, members: Sequence[str], kind: str = "dataset", about: Facts = None) -> Document:
        """Return a dataset or container with these members."""

    def remove(self, name: str) -> None:
        """Forget a name."""

    def verify(self, names: Sequence[str] = (), *, repair: bool = True, told: Told | None = None) -> Document:
        """Return whether all replicas are right, and what reading each showed."""

    def changes(
        self, after: int = 0, *, name: str | None = None, limit: int = 1000, wait: float = 0.0
    ) -> list[Document]:
        """Return what happened after a number; with `wait`, as soon as something has."""

    def last_change(self) -> int:
        """Return the number of the latest change."""

    def export(self, collection: str, file: Path) -> int:
        """Return how many Items of a Collection were written to a stac-geoparquet file."""

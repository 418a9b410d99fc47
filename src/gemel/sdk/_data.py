"""The data lake in people's hands: datasets by name, wherever they lie and wherever the engine is."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from gemel.base.errors import GemelError
from gemel.core.engine import is_over, progress_of
from gemel.sdk._connection import rebuilt
from gemel.sdk._data_transport import DataTransport, Document, Documents

Listener = Callable[[Mapping[str, Any]], None]
Names = list[str]
_WAIT_SECONDS = 15.0


class Facts(TypedDict, total=False):
    """What may be said of a dataset: JSON `metadata`, `licence` (as SPDX names it), `lifetime` (such as '30 d').

    `into` is a dataset to add it to, made when it is new; `digests`, by algorithm, is what a file that is put must have.
    """

    metadata: Mapping[str, Any]
    licence: str | None
    lifetime: str | None
    into: str | None
    digests: Mapping[str, str]


class DataView:
    """The data lake of an engine.

    Attributes:
        storages: Places where datasets lie.
        tokens: How storages get their tokens.
        rules: How many copies there are to be, and where.
        watches: Folders and buckets whose files get names by themselves.
    """

    def __init__(self, transport: DataTransport) -> None:
        self.transport = transport
        self.storages = StoragesView(transport)
        self.tokens = TokensView(transport)
        self.rules = RulesView(transport)
        self.watches = WatchesView(transport)

    def find(self, *words: str) -> Documents:
        """Return the datasets that all words fit: parts of names, patterns, `key=value` (metadata, kind, storage, …)."""
        return self.transport.find(words)

    def get(self, name: str) -> Document:
        """Return what is known of a file, dataset or container: size, digests, licence, metadata, replicas.

        Raises:
            NotFound: There is none.
        """
        return self.transport.get(name)

    def put(
        self,
        path: str | Path,
        name: str,
        *,
        storage: str = "home",
        listener: Listener | None = None,
        **about: Unpack[Facts],
    ) -> Document:
        """Return a file of this machine after it was stored under a name, hashed on its way.

        Args:
            path: The file.
            name: `scope:name`, not in use.
            storage: Where to.
            listener: Told the `bytes` that are done, and their `size`.
            **about: `metadata`, `licence`, `lifetime`, `into`, `digests`.

        Raises:
            Conflict: The name is in use.
            NotFound: There is no such file or storage.
            ResultCorrupt: It does not have the digests given; nothing is kept.
            OutOfBounds: It is larger than the engine takes.
        """
        return self.transport.put(Path(path), name, about, storage=storage, told=listener)

    def fetch(self, name: str, path: str | Path, *, replace: bool = False, listener: Listener | None = None) -> Path:
        """Return the path of a copy on this machine, compared with the file's digests on its way.

        Raises:
            NotFound: There is no such file.
            Conflict: There is something at `path`, and `replace` is not set.
            ResultCorrupt: No replica is right.
        """
        self.transport.fetch(name, Path(path).absolute(), replace=replace, told=listener)
        return Path(path)

    def open(self, name: str, **options: Any) -> Any:
        """Return what a file holds: an xarray object read when asked for, a table, plain JSON, text, bytes.

        Only ranges are read where the format allows it; other files are fetched whole, verified, and kept for a while.

        Args:
            name: `scope:name`.
            **options: Of its format; `format` names one.

        Raises:
            NotFound: There is no such file.
            InvalidInput: Its format is not known, or it cannot be read.
        """
        return self.transport.open(name, options)

    def describe(self, name: str, rows: int = 0, **options: Any) -> Document:
        """Return what a file holds: dimensions, variables, columns, and a preview of so many rows or cells."""
        return self.transport.describe(name, options, rows)

    def copy(self, names: str | Sequence[str], storage: str, *, priority: int = 0) -> TransfersHandle:
        """Return transfers, queued now, that give files (all, of groups) another verified replica on a storage.

        Raises:
            NotFound: There is no such dataset or storage.
            Denied: Nothing can be written there.
        """
        return self._transfers(names, storage, False, priority)

    def move(self, names: str | Sequence[str], storage: str, *, priority: int = 0) -> TransfersHandle:
        """Return transfers, queued now, after which files lie on that storage and nowhere else."""
        return self._transfers(names, storage, True, priority)

    def transfers(self, state: str | None = None, name: str | None = None, limit: int = 100) -> Documents:
        """Return transfers, the newest first: all, in a state, of a file."""
        return self.transport.moving.list(state=state, name=name, limit=limit)

    def transfer(self, id: str) -> TransfersHandle:
        """Return one transfer by its id.

        Raises:
            NotFound: There is none.
        """
        return TransfersHandle(self.transport, [self.transport.moving.get(id)])

    def register(self, name: str, storage: str, path: str, **about: Unpack[Facts]) -> Document:
        """Return a file that lies on a storage already, named now; `unverified` until its bytes were read."""
        return self.transport.register(name, storage, path, about)

    def register_folder(
        self, scope: str, storage: str, folder: str = "", *, listener: Listener | None = None, **about: Unpack[Facts]
    ) -> list[str]:
        """Return the names of all files below a folder of a storage that were named just now, after their paths."""
        return self.transport.register_folder(scope, storage, folder, about, told=listener)

    def group(self, name: str, members: Sequence[str], *, container: bool = False, **about: Unpack[Facts]) -> Document:
        """Return a dataset of files (or a container of datasets and containers) with these members, made when new."""
        return self.transport.group(name, members, "container" if container else "dataset", about)

    def remove(self, name: str) -> None:
        """Forget a name; the file's replicas are deleted but for registered ones, and members of a group stay."""
        self.transport.remove(name)

    def verify(self, *names: str, repair: bool = True, listener: Listener | None = None) -> Document:
        """Return whether all replicas (of the files named, default all) are right, after each was read whole.

        Damaged ones are replaced from a good one when `repair` is set.
        """
        return self.transport.verify(names, repair=repair, told=listener)

    def changes(self, name: str | None = None, *, after: int = 0, follow: bool = False) -> Iterator[Document]:
        """Yield what happened (to one dataset), oldest first, each with a `number` to go on after.

        Args:
            name: Of the dataset; default all.
            after: The number of the last change that is known.
            follow: Whether to wait for what happens next, for ever.
        """
        number = after
        while True:
            found = self.transport.changes(number, name=name, wait=_WAIT_SECONDS if follow else 0.0)
            yield from found
            if not found and not follow:
                return
            number = found[-1]["number"] if found else number

    def keep(self) -> Document:
        """Return what one round of keeping did, made now: lifetimes, rules, quotas, copies looked at and read."""
        return self.transport.keeping.keep()

    def notify(self, document: Mapping[str, Any]) -> list[str]:
        """Return the names of what a notification in the form of S3's `Records` tells of, in watched buckets."""
        return self.transport.keeping.notified(document)

    def export(self, collection: str, path: str | Path) -> int:
        """Return how many Items of a STAC Collection were written to a stac-geoparquet file."""
        return self.transport.export(collection, Path(path))

    def _transfers(self, names: str | Sequence[str], storage: str, only: bool, priority: int) -> TransfersHandle:
        wanted = [names] if isinstance(names, str) else list(names)
        found = self.transport.moving.request(wanted, storage, only=only, priority=priority)
        return TransfersHandle(self.transport, found)


class TransfersHandle:
    """Transfers that were asked for together.

    Attributes:
        ids: Of the transfers.
    """

    def __init__(self, transport: DataTransport, documents: Documents) -> None:
        self._transport, self._documents = transport, documents
        self.ids = [item["id"] for item in documents]

    @property
    def documents(self) -> Documents:
        """Return the transfers as they are now."""
        moving = self._transport.moving
        self._documents = [item if is_over(item) else moving.get(item["id"]) for item in self._documents]
        return list(self._documents)

    @property
    def state(self) -> str:
        """Return `failed` or `cancelled` when one is, else `running`, `queued`, or `done` when all are."""
        states = {item["state"] for item in self.documents}
        return next((state for state in ("failed", "cancelled", "running", "queued") if state in states), "done")

    @property
    def progress(self) -> Document:
        """Return `bytes` of `size` that have come, `files` of how many that are done, and why one is tried again."""
        return progress_of(self.documents)

    def wait(self, listener: Listener | None = None) -> TransfersHandle:
        """Return this when all have ended, telling `listener` the progress about once a second.

        In this process they are worked on here, unless somebody else does; elsewhere it is the engine that works.

        Raises:
            GemelError: One failed (of the class and with the hint of its failure), or was cancelled.
        """
        self._documents = self._transport.moving.work(self.ids, listener)
        failed = [item for item in self._documents if item["state"] == "failed"]
        if failed:
            error = rebuilt(failed[0]["error"] or {})
            error.context |= {"transfer": failed[0]["id"], "failed": len(failed), "of": len(self.ids)}
            raise error
        gone = [item["id"] for item in self._documents if item["state"] == "cancelled"]
        if gone:
            message = f"{len(gone)} of {len(self.ids)} transfers were cancelled."
            raise GemelError(message, hint="Ask again: what has arrived is kept.", transfer=gone[0])
        return self

    def cancel(self) -> TransfersHandle:
        """Return this after asking for their end."""
        self._documents = [self._transport.moving.cancel(id) for id in self.ids]
        return self

    def __repr__(self) -> str:
        """Return a one-line description."""
        return f"<Transfers of {len(self.ids)} files: {self.state}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(item['name'])}</td><td>{html.escape(item['storage'])}</td><td>{item['state']}</td></tr>"
            for item in self.documents
        )
        return f"<table><tr><th>file</th><th>to</th><th>state</th></tr>{rows}</table>"


class StoragesView:
    """Places where datasets lie."""

    def __init__(self, transport: DataTransport) -> None:
        self._keeping = transport.keeping

    def list(self) -> Documents:
        """Return every storage: kind, options (secrets by reference), site, tags, quota and bytes used."""
        return self._keeping.storages()

    def get(self, name: str) -> Document:
        """Return one storage.

        Raises:
            NotFound: There is none.
        """
        return self._keeping.storage(name)

    def add(
        self, name: str, kind: str, *, site: str | None = None, quota: int | None = None, **options: Any
    ) -> Document:
        """Return a storage that was declared now.

        Args:
            name: Of the storage.
            kind: Of the plugin, such as `local`, `s3`, `webdav`.
            site: Of the provider that runs it.
            quota: Bytes that datasets may take there.
            **options: As the kind takes them, secrets as `env:NAME` or `file:PATH`; `tags`, words that rules choose by.

        Raises:
            InvalidInput: Something does not fit.
            Conflict: The name is taken.
        """
        tags = list(options.pop("tags", ()))
        given = {key: str(value) for key, value in options.items()}
        return self._keeping.add_storage(name, kind, given, site=site, tags=tags, quota=quota)

    def set(self, name: str, **standing: Any) -> Document:
        """Return a storage after some of `site`, `tags` and `quota` (bytes) were changed; None for none."""
        return self._keeping.set_storage(name, **standing)

    def remove(self, name: str) -> None:
        """Forget a storage on which no replica lies; its files stay."""
        self._keeping.remove_storage(name)

    def reclaim(self, name: str, wanted: int | None = None) -> Documents:
        """Return the copies dropped from a storage: until so many bytes were, default all that nobody needs."""
        return self._keeping.reclaim(name, wanted)


class TokensView:
    """How storages get their tokens."""

    def __init__(self, transport: DataTransport) -> None:
        self._keeping = transport.keeping

    def list(self) -> Documents:
        """Return every token profile; secrets are references."""
        return self._keeping.tokens()

    def add(self, name: str, kind: str, **options: str) -> Document:
        """Return a token profile that was declared now."""
        return self._keeping.add_token(name, kind, options)

    def remove(self, name: str) -> None:
        """Forget a token profile that nothing uses."""
        self._keeping.remove_token(name)

    def trial(self, storage: str, operation: str, path: str = "") -> Document:
        """Return that a token was had for an operation (`read`, `write`, `delete`), and until when it is good."""
        return self._keeping.try_token(storage, operation, path)


class RulesView:
    """How many copies of datasets there are to be, and where."""

    def __init__(self, transport: DataTransport) -> None:
        self._keeping = transport.keeping

    def list(self, name: str | None = None) -> Documents:
        """Return all rules, or those of one name, with how each stands."""
        return self._keeping.rules(name)

    def add(self, name: str, copies: int, **places: Any) -> Document:
        """Return a new rule.

        Args:
            name: Of the file, dataset or container.
            copies: How many.
            **places: `near` (sites), `tags`, `storages`, `apart`, `lifetime` (such as '30 d'), `priority`.
        """
        return self._keeping.add_rule(name, copies, **places)

    def remove(self, id: str) -> None:
        """Forget a rule; the copies that it made stay until their place is needed."""
        self._keeping.remove_rule(id)


class WatchesView:
    """Folders and buckets whose files get names by themselves."""

    def __init__(self, transport: DataTransport) -> None:
        self._keeping = transport.keeping

    def list(self) -> Documents:
        """Return the watches, and why one could not be looked at."""
        return self._keeping.watches()

    def add(self, storage: str, scope: str, folder: str = "", **options: str) -> Document:
        """Return a new watch of a folder; `pattern` of names, `into` a dataset, `licence` of what arrives."""
        return self._keeping.add_watch(storage, folder, scope, **options)

    def remove(self, id: str) -> None:
        """Forget a watch; what it registered stays."""
        self._keeping.remove_watch(id)

    def scan(self) -> Names:
        """Return the names of what arrived since the last look, looked at now."""
        return self._keeping.scan()

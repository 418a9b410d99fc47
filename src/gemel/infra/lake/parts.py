"""The lake put together: what is stored where, what moves it, keeps it and finds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sql

from gemel.base.clock import parse_duration
from gemel.base.config import LakeSettings
from gemel.base.sizes import parse_size
from gemel.infra.lake.catalogue import Catalogue
from gemel.infra.lake.catalogue._tables import Database
from gemel.infra.lake.collections import Collections
from gemel.infra.lake.datasets import Datasets
from gemel.infra.lake.keeping import Keeper, Pace
from gemel.infra.lake.mover import Mover, Patience, Queue
from gemel.infra.lake.storages import Storages
from gemel.infra.lake.tokens import Broker
from gemel.infra.lake.watching import Watcher, Watches


class Lake:
    """The data lake of one engine.

    Args:
        store: The SQL store.
        tables: Its tables, by name.
        home: The engine's folder.
        settings: How the lake is kept.

    Attributes:
        tokens: The token broker.
        storages: Places where datasets lie.
        datasets: Named data with digests and replicas.
        mover: Transfers between storages.
        keeper: Rules, lifetimes, quotas, and the care of copies.
        watcher: Folders and buckets whose files get names by themselves.
        collections: Data that graphs can load by name.
        catalogue: STAC Collections and Items, those of `collections` among them.
    """

    def __init__(self, store: Database, tables: Mapping[str, sql.Table], home: Path, settings: LakeSettings) -> None:
        self._settings = settings
        self.tokens = Broker(store, tables, home)
        self.storages = Storages(store, tables, home, self.tokens)
        self.datasets = Datasets(store, tables, self.storages, home, parse_size(settings.cache))
        self.mover = Mover(self.datasets, self.storages, Queue(store, tables), _patience(settings))
        self.keeper = Keeper(store, tables, self.datasets, self.storages, self.mover, _pace(settings))
        self.watcher = Watcher(Watches(store, tables), self.datasets, self.storages)
        self.collections = Collections(home)
        self.catalogue = Catalogue(store, self.collections)

    def start(self) -> None:
        """Begin to move, keep and watch in the background."""
        self.mover.start(self._settings.transfers)
        self.keeper.start(beside=self.watcher.look)

    def close(self) -> None:
        """Stop working, and let connections go; transfers under way go back to the queue."""
        self.keeper.stop()
        self.mover.stop()
        self.storages.close()
        self.tokens.close()


def _patience(settings: LakeSettings) -> Patience:
    first, lease = (parse_duration(text).total_seconds() for text in (settings.retry, settings.lease))
    return Patience(attempts=settings.attempts, first=first, lease=lease)


def _pace(settings: LakeSettings) -> Pace:
    round, patrol, scrub = (
        parse_duration(text).total_seconds() for text in (settings.pace, settings.patrol, settings.scrub)
    )
    return Pace(round, patrol, scrub, parse_size(settings.scrub_rate))

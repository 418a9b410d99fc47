"""The lake put together: what is stored where, what moves it, keeps it and finds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sql

from gemel.base.clock import parse_duration
from gemel.base.config import LakeSettings
from gemel.base.sizes import parse_size
from gemel.infra.lake.agents import Exchange
from gemel.infra.lake.catalogue import Catalogue
from gemel.infra.lake.catalogue._tables import Database
from gemel.infra.lake.collections import Collections
from gemel.infra.lake.datasets import Datasets
from gemel.infra.lake.keeping import Keeper, Pace
from gemel.infra.lake.mover import Mover, Patience, Queue
from gemel.infra.lake.publishing import DatasetItems
from gemel.infra.lake.rucio import Matching, RucioExchange
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
        exchange: Where tasks wait for the agents of sites.
        storages: Places where datasets lie.
        datasets: Named data with digests and replicas.
        mover: Transfers between storages.
        keeper: Rules, lifetimes, quotas, and the care of copies.
        watcher: Folders and buckets whose files get names by themselves.
        collections: Data that graphs can load by name.
        catalogue: STAC Collections and Items, those of `collections` among them.
    """

    def __init__(self, store: Database, tables: Mapping[str, sql.Table], home: Path, settings: LakeSettings) -> None:
        self._settings, self._store, self._tables = settings, store, tables
        self.tokens = Broker(store, tables, home)
        self.exchange = Exchange()
        self.storages = Storages(store, tables, home, self.tokens, self.exchange)
        self.datasets = Datasets(store, tables, self.storages, home, parse_size(settings.cache))
        self.mover = Mover(self.datasets, self.storages, Queue(store, tables), _patience(settings))
        self.keeper = Keeper(store, tables, self.datasets, self.storages, self.mover, _pace(settings))
        self.watcher = Watcher(Watches(store, tables), self.datasets, self.storages)
        self.collections = Collections(home)
        self.catalogue = Catalogue(store, self.collections)
        self.catalogue.follow(DatasetItems(self.datasets, self.catalogue).follow)

    def rucio(self, through: str, matching: Matching | None = None) -> RucioExchange:
        """Return the exchange with the Rucio server of a storage of the kind `rucio`.

        Args:
            through: Name of the storage.
            matching: What is the same on both sides under two names.

        Raises:
            NotFound: There is no such storage.
            InvalidInput: It is of another kind.
        """
        return RucioExchange(self._store, self._tables, self.datasets, self.storages, through, matching)

    def start(self) -> None:
        """Begin to move, keep and watch in the background."""
        self.mover.start(self._settings.transfers)
        self.keeper.start(beside=self.watcher.look)

    def close(self) -> None:
        """Stop working, and let connections go; transfers under way go back to the queue."""
        self.exchange.close()
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

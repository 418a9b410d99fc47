"""Both event logs keep the contract: in the journal on SQLite and on PostgreSQL, and on a real JetStream."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from nats_server import NatsServer, nats_program

from gemel.core.stream import EventLog, JetStreamLog, SqlEventLog
from gemel.infra.store import open_store
from gemel.testing import EventLogContract

pytestmark = pytest.mark.slow


class _Opening(EventLogContract):
    """Suite whose logs are closed at the end of each test."""

    _open: Callable[[], EventLog]

    def opened(self) -> EventLog:
        return self._open()

    def beside(self) -> EventLog:
        return self._open()


class TestInTheJournal(_Opening):
    @pytest.fixture(autouse=True)
    def _journal(self, store_url: str) -> Iterator[None]:
        logs, stores = [], []

        def opened() -> EventLog:
            stores.append(open_store(store_url))
            logs.append(SqlEventLog(stores[-1]))
            return logs[-1]

        self._open = opened
        yield
        for item in itertools.chain(logs, stores):
            item.close()


class TestInTheJournalSyncedEachSecond(_Opening):
    @pytest.fixture(autouse=True)
    def _journal(self, sqlite_url: str) -> Iterator[None]:
        store, logs = open_store(sqlite_url), []

        def opened() -> EventLog:
            logs.append(SqlEventLog(store, synced="second"))
            return logs[-1]

        self._open = opened
        yield
        for item in (*logs, store):
            item.close()


@pytest.mark.slow
class TestOnJetStream(_Opening):
    @pytest.fixture(autouse=True)
    def _server(self, tmp_path) -> Iterator[None]:
        server, logs = NatsServer(tmp_path, nats_program()), []
        server.start()

        def opened() -> EventLog:
            logs.append(JetStreamLog(server.url))
            return logs[-1]

        self._open = opened
        yield
        for log in logs:
            log.close()
        server.kill()

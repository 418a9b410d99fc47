"""Processes that may be killed at any moment, forked from one that has imported everything: engines and consumers."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sql

from gemel.base.config import load_settings
from gemel.base.errors import GemelError
from gemel.core.engine import open_engine
from gemel.core.stream import SqlEventLog
from gemel.infra.store import open_store
from zygote import serve

EFFECTS = sql.Table("storm_effects", sql.MetaData(), sql.Column("event", sql.String(300), nullable=False))


def live(what: str, url: str, home: str) -> None:
    """Be an engine that keeps the twin in step and serves, or a consumer of what is told about it; until killed."""
    if what == "engine":
        with open_engine(load_settings(home=Path(home), assignments=[f"store.url={url}"])) as engine:
            engine.go_live(engine.twin("storm"))
            engine.serve()
            threading.Event().wait()
    consume(url)


def consume(url: str) -> None:
    """Note each event about the twin, in the transaction that acknowledges it."""
    store = open_store(url)
    group = SqlEventLog(store).group("twins/storm", "storm", ack_wait=5.0, attempts=1000)
    while True:
        try:
            taken = group.take(20, timeout=1.0)
            with store.write() as connection:
                for delivery in taken:
                    connection.execute(sql.insert(EFFECTS), {"event": delivery.event.id})
                group.ack(*taken, connection=connection)
        except GemelError:
            continue  # it has gone to another consumer, or the store is busy: nothing was written


if __name__ == "__main__":
    serve(live)

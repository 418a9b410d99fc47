"""What tests run in processes that they kill: a producer and a consumer of the event log.

`python log_processes.py produce URL COUNT` says each id once it is acknowledged; `... consume URL` writes what it took
into the journal in one transaction with its acknowledgement, and says the ids; `... hold URL` takes and never answers.
"""

from __future__ import annotations

import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from gemel.base.errors import Conflict
from gemel.core.stream import Event, SqlEventLog
from gemel.infra.store import Store, open_store, schema

START = datetime(2001, 1, 1, tzinfo=UTC)


def main(role: str, url: str, count: int) -> None:
    store = open_store(url)
    log = SqlEventLog(store)
    if role == "produce":
        produce(log, count)
    elif role == "hold":
        taken = log.group("a", "g", ack_wait=600.0).take(count, 30.0)
        print("took", *(item.event.id for item in taken), flush=True)
        threading.Event().wait()
    else:
        consume(log, store)


def produce(log: SqlEventLog, count: int) -> None:
    """Send everything again from the beginning after a kill: what is there already is a duplicate."""
    for number in range(count):
        log.append("a", Event(f"e{number}", "test", "/test", START + timedelta(minutes=number), {"number": number}))
        print(f"e{number}", flush=True)


def consume(log: SqlEventLog, store: Store) -> None:
    """Do the work of each batch once: its rows and its acknowledgement are one transaction."""
    group = log.group("a", "g", ack_wait=600.0, attempts=1000)
    while True:
        for item in group.take(10, 1.0):
            try:
                with store.write() as connection:
                    row = {"run": "r", "node": item.event.id, "time": time.time(), "level": "info", "message": ""}
                    connection.execute(schema.logs.insert(), row)
                    group.ack(item, connection=connection)
            except Conflict:
                continue
            print(item.event.id, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 0)

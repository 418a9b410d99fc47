"""What a test runs in a process that it kills: a buffer whose batches are trained with, one after the other.

`python training_process.py URL COUNT` fills the stream up to COUNT events, says "ready", and for each batch
"done NUMBER DIGEST"; then "idle".
"""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime, timedelta

from gemel.core.stream import Event, SqlEventLog
from gemel.core.stream.buffers import BufferSpec, TrainingBuffer
from gemel.core.stream.triggers import Volume
from gemel.infra.store import open_store

START = datetime(2001, 1, 1, tzinfo=UTC)
SPEC = BufferSpec("rain", "gauge", ("level", "flow"), Volume(events=20))


def event(number: int, **data: object) -> Event:
    """Return an observation."""
    values = data or {"level": number * 0.5, "flow": None if number % 7 == 0 else float(number % 13)}
    return Event(f"e{number}", "gemel.observation", "/gauge", START + timedelta(minutes=number), values)


def main(url: str, count: int) -> None:
    """Train until killed; what was open or being trained with is taken up again."""
    store = open_store(url)
    log = SqlEventLog(store)
    buffer = TrainingBuffer(store, log, "brook", SPEC)
    print("ready", flush=True)
    while True:
        batch = buffer.look() or buffer.unfinished()
        if batch is None:
            print("idle", flush=True)
            threading.Event().wait(0.01)
            continue
        buffer.training(batch, f"run-{batch.number}")
        values = buffer.data(batch)
        assert len(values["time"]) == batch.events
        buffer.done(batch, f"run-{batch.number}")
        print("done", batch.number, batch.digest, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""One end of a stream of 1 kB events: `python -m bench._run_events LOG ADDRESS ROLE COUNT PER_SECOND`.

Answers each line on standard input with one round, and says `begun ended` and, at the consumer, the latencies' p50 and
p99 in milliseconds. Instants are of the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from gemel.core.stream import Event, SqlEventLog
from gemel.infra.store import open_store

STREAM, GROUP, BATCH = "bench", "bench", 1000
FILL = "x" * 900


def paced(count: int, per_second: int) -> Iterator[int]:
    """Yield numbers, at most so many a second."""
    begun = time.perf_counter()
    for number in range(count):
        due = begun + number / per_second
        while (left := due - time.perf_counter()) > 0:
            time.sleep(left)
        yield number


def data() -> dict[str, Any]:
    """Return what an event tells: when it was sent, and text up to 1 kB."""
    return {"sent": time.perf_counter(), "fill": FILL}


def told(begun: float, ended: float, latencies: list[float]) -> None:
    """Answer one round."""
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
    print(json.dumps([begun, ended, cuts[49] * 1000, cuts[98] * 1000]), flush=True)


def gemel(address: str, role: str, count: int, per_second: int) -> None:
    """Run one end of the embedded log; `address` is a store's with `#commit` or `#second`."""
    url, _, synced = address.partition("#")
    store = open_store(url)
    log = SqlEventLog(store, synced=synced)  # type: ignore[arg-type]
    group = log.group(STREAM, GROUP)
    print("ready", flush=True)
    for _ in sys.stdin:
        begun, latencies, seen = time.perf_counter(), [], 0
        if role == "producer":
            gemel_produces(log, count, per_second)
        while role == "consumer" and seen < count:
            taken = group.take(BATCH, 5.0)
            now = time.perf_counter()
            latencies += [now - item.event.data["sent"] for item in taken]
            group.ack(*taken)
            seen += len(taken)
        told(begun, time.perf_counter(), latencies)
    log.close()
    store.close()


def gemel_produces(log: SqlEventLog, count: int, per_second: int) -> None:
    """Append `count` events, one by one at a pace or as fast as it goes."""
    now, ids = datetime.now(UTC), new_ids()

    def event() -> Event:
        return Event(next(ids), "bench", "/bench", now, data())

    if per_second:
        for _ in paced(count, per_second):
            log.append(STREAM, event())
        return
    for start in range(0, count, BATCH):
        log.append_many(STREAM, [event() for _ in range(min(BATCH, count - start))])


async def jetstream(address: str, role: str, count: int, per_second: int, pull: bool) -> None:
    """Run one end of JetStream through nats-py; the payload is made and read as CloudEvents JSON, as ours is."""
    import nats
    from nats.js.api import ConsumerConfig

    client = await nats.connect(address)
    js = client.jetstream(publish_async_max_pending=4000)
    await js.add_stream(name=STREAM, subjects=[STREAM])
    got: asyncio.Queue[Any] = asyncio.Queue()
    config = ConsumerConfig(max_ack_pending=200_000)
    subscription = None
    if role == "consumer":
        subscription = await (
            js.pull_subscribe(STREAM, GROUP, config=config)
            if pull
            else js.subscribe(
                STREAM, queue=GROUP, durable=GROUP, cb=got.put, manual_ack=True, config=config,
                pending_msgs_limit=10**7, pending_bytes_limit=10**10,
            )
        )  # fmt: skip
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        begun, latencies = time.perf_counter(), []
        if role == "producer":
            await jetstream_produces(js, count, per_second)
        while role == "consumer" and len(latencies) < count:
            for message in await subscription.fetch(500, timeout=30) if pull else [await got.get()]:
                latencies.append(time.perf_counter() - json.loads(message.data)["data"]["sent"])
                await message.ack()
        await client.flush()
        told(begun, time.perf_counter(), latencies)
    await client.close()


def new_ids() -> Iterator[str]:
    """Yield ids as a gauge gives them: its own name and a number."""
    name = uuid.uuid4().hex
    return (f"{name}-{number}" for number in itertools.count())


def document(id: str) -> tuple[bytes, dict[str, str]]:
    """Return a CloudEvents document of 1 kB, and the header by which JetStream knows it again."""
    head = {"specversion": "1.0", "id": id, "type": "bench", "source": "/bench", "time": "2001-01-01T00:00:00Z"}
    return json.dumps(head | {"data": data()}).encode(), {"Nats-Msg-Id": id}


async def jetstream_produces(js: Any, count: int, per_second: int) -> None:
    """Publish `count` events, each acknowledged: one by one at a pace, or a thousand at a time."""
    ids = new_ids()
    if per_second:
        begun = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number / per_second - time.perf_counter()))
            payload, headers = document(next(ids))
            await js.publish(STREAM, payload, headers=headers)
        return
    for start in range(0, count, BATCH):
        waiting = []
        for _ in range(min(BATCH, count - start)):
            payload, headers = document(next(ids))
            waiting.append(await js.publish_async(STREAM, payload, headers=headers))
        await asyncio.gather(*waiting)


def main(kind: str, address: str, role: str, count: int, per_second: int) -> None:
    """Run one end."""
    if kind == "gemel":
        gemel(address, role, count, per_second)
    else:
        asyncio.run(jetstream(address, role, count, per_second, kind == "pull"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))

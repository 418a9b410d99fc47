"""The event log on NATS JetStream: the same promises for many machines, through a broker."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from gemel.base.clock import iso
from gemel.base.errors import InvalidInput, StoreFull, StoreUnavailable
from gemel.base.plugins import require
from gemel.core.stream.events._event import Event
from gemel.core.stream.events._log import DEAD, Begin, Delivery, checked, checked_stream, data_text, dead_letter

_T = TypeVar("_T")
_PATIENCE_SECONDS = 10.0  # how long a broker that restarts is waited for
_IN_FLIGHT = 1000  # publications that wait for their acknowledgement; nats-py allows 4000
# JetStream's error codes: maximum messages, maximum bytes, no resources for streams, no space on its disk.
_FULL = {10077, 10054, 10023, 10047, 10122}
_READ_SECONDS = 5.0


class JetStreamLog:
    """An `EventLog` on a NATS server with JetStream.

    Differences to the log in the journal: an id is known for `remembered` seconds, the events of one `append_many`
    are kept one by one, a consumer that died is noticed after `ack_wait`, and nothing can share a transaction with the
    journal: store the event's position with the result, and pass over positions that are there already. JetStream
    writes to the operating system at once and syncs its disk from time to time (`sync_interval`, two minutes unless
    the server is told otherwise).

    Args:
        address: Like `nats://127.0.0.1:4222`.
        remembered: Seconds for which an id is known.
    """

    def __init__(self, address: str, *, remembered: float = 3600.0) -> None:
        self._nats = require("nats", extra="streams")
        self._js_errors = require("nats.js.errors", extra="streams")
        self._api = require("nats.js.api", extra="streams")
        self._address, self._remembered = address, remembered
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gemel-jetstream", daemon=True)
        self._thread.start()
        self._made: set[str] = set()
        try:
            self._client: Any = self.do(self._connect())
        except BaseException:
            self._end()
            raise
        self._js: Any = self._client.jetstream(timeout=_PATIENCE_SECONDS)

    def append(self, stream: str, event: Event) -> int | None:
        """Return the event's position once JetStream has acknowledged it, or None when its id is in the stream."""
        return self.append_many(stream, [event])[0]

    def append_many(self, stream: str, events: Sequence[Event]) -> list[int | None]:
        """Return the position of each event, None for duplicates; what was kept before an error stays."""
        self._make(stream)
        pairs = [(event.id, _payload(event)) for event in events]
        return self.do(self._publish_all(stream, pairs))

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return events after a position, oldest first."""
        self._make(stream)
        return self.do(self._read(stream, after, limit, 0.0))

    def last(self, stream: str, count: int = 1) -> Sequence[Event]:
        """Return the last `count` events, oldest first."""
        self._make(stream)
        return self.read(stream, max(0, self._state(stream).last_seq - count), count)

    def since(self, stream: str, time: datetime) -> int:
        """Return the position after which the events recorded at `time` or later stand: `read` on from it."""
        self._make(stream)
        first = self.do(self._first_since(stream, time))
        return int(self._state(stream).last_seq) if first is None else first - 1

    def wait(self, stream: str, after: int, timeout: float) -> Sequence[Event]:
        """Return the events after a position as soon as there are any, or nothing when the time is up."""
        self._make(stream)
        return self.do(self._read(stream, after, 1000, timeout))

    def group(
        self, stream: str, name: str, *, begin: Begin = "all", ack_wait: float = 30.0, attempts: int = 5
    ) -> JetStreamGroup:
        """Return a consumer of a group, which is made when it is new; a known one goes on where it is."""
        self._make(stream)
        if not name or not ack_wait > 0 or attempts < 1:
            raise InvalidInput("A group has a name, a positive ack_wait and at least one attempt.")
        return JetStreamGroup(self, (stream, name), begin, ack_wait, attempts)

    def limit(self, stream: str, *, events: int | None = None, bytes: int | None = None) -> None:
        """Bound a stream: what goes beyond is refused with `StoreFull`, and nothing is dropped for it."""
        self._make(stream)
        config = self._config(stream)
        config.max_msgs, config.max_bytes = -1 if events is None else events, -1 if bytes is None else bytes
        self.do(self._js.update_stream(config))

    def trim(self, stream: str, before: int) -> int:
        """Remove events before a position that every group has acknowledged, and return how many went."""
        self._make(stream)
        held = self._state(stream).messages
        floors = [item.ack_floor.stream_seq + 1 for item in self.do(self._js.consumers_info(_name(stream)))]
        bound = min([before, *floors])
        if bound > 1:
            self.do(self._js.purge_stream(_name(stream), seq=bound))
        return int(held - self._state(stream).messages)

    def forget(self, stream: str) -> None:
        """Remove every event of a stream; ids stay known for as long as they are remembered."""
        self._make(stream)
        self.do(self._js.purge_stream(_name(stream)))

    def close(self) -> None:
        """Close the connection."""
        try:
            if not self._client.is_closed:
                self.do(self._client.close())
        finally:
            self._end()

    def do(self, work: Awaitable[_T]) -> _T:
        """Return what NATS answers, its errors translated."""

        async def wrapped() -> _T:
            return await work

        with self._translated():
            return asyncio.run_coroutine_threadsafe(wrapped(), self._loop).result()

    def bury(self, group: str, delivery: Delivery, stream: str, reason: str) -> None:
        """Publish a dead letter."""
        letter = dead_letter(group, delivery, reason)
        self._make(stream + DEAD)
        self.do(self._publish_all(stream + DEAD, [(letter.id, _document(letter, data_text(letter)))]))

    async def subscribe(self, stream: str, durable: str | None, config: Any) -> Any:
        """Return a pull subscription."""
        return await self._js.pull_subscribe(_subject(stream), durable, stream=_name(stream), config=config)

    async def _connect(self) -> Any:
        async def quiet(_: Exception) -> None:
            """What goes wrong is told by the call that meets it."""

        return await self._nats.connect(
            self._address, error_cb=quiet, connect_timeout=2, reconnect_time_wait=0.1, max_reconnect_attempts=-1
        ) if await self._reachable() else None  # fmt: skip

    async def _reachable(self) -> bool:
        # With endless reconnection, a first connection would try for ever, too.
        host, _, port = self._address.rpartition("://")[2].rpartition("@")[2].partition(":")
        _, writer = await asyncio.open_connection(host, int(port.rstrip("/") or 4222))
        writer.close()
        await writer.wait_closed()
        return True

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _config(self, stream: str) -> Any:
        return self._api.StreamConfig(
            name=_name(stream),
            subjects=[_subject(stream)],
            discard=self._api.DiscardPolicy.NEW,
            duplicate_window=self._remembered,
            description=stream[:1000],
        )

    def _make(self, stream: str) -> None:
        checked_stream(stream)
        if stream in self._made:
            return
        try:
            self.do(self._js.stream_info(_name(stream)))
        except _Missing:
            self.do(self._js.add_stream(self._config(stream)))
        self._made.add(stream)

    def _state(self, stream: str) -> Any:
        return self.do(self._js.stream_info(_name(stream))).state

    async def _publish_all(self, stream: str, pairs: Sequence[tuple[str, bytes]]) -> list[int | None]:
        subject, found = _subject(stream), []
        for start in range(0, len(pairs), _IN_FLIGHT):
            part = pairs[start : start + _IN_FLIGHT]
            found += await asyncio.gather(*(self._publish(subject, id, payload) for id, payload in part))
        return found

    async def _publish(self, subject: str, id: str, payload: bytes) -> int | None:
        # An id is any text, a header is not.
        headers = {"Nats-Msg-Id": hashlib.sha256(id.encode()).hexdigest()}
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                answer = await self._js.publish(subject, payload, headers=headers)
                return None if answer.duplicate else int(answer.seq)
            except (self._js_errors.NoStreamResponseError, self._js_errors.ServiceUnavailableError) as error:
                if getattr(error, "err_code", None) in _FULL or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)  # it restarts, and knows the id should it have been kept

    async def _read(self, stream: str, after: int, limit: int, timeout: float) -> list[Event]:
        policy = self._api.DeliverPolicy.BY_START_SEQUENCE
        config = self._reading(deliver_policy=policy, opt_start_seq=after + 1)
        subscription = await self.subscribe(stream, None, config)
        try:
            left = (await subscription.consumer_info()).num_pending
            found: list[Event] = []
            if not left and timeout > 0:
                found += [_event(item) for item in await self._fetch(subscription, 1, timeout)]
                left = (await subscription.consumer_info()).num_pending if found else 0
            wanted = min(limit, left + len(found))
            while len(found) < wanted:
                messages = await self._fetch(subscription, min(wanted - len(found), 500), _READ_SECONDS)
                if not messages:
                    break
                found += [_event(item) for item in messages]
            return found
        finally:
            await self._forgotten(stream, subscription)

    async def _first_since(self, stream: str, instant: datetime) -> int | None:
        start = iso(instant.astimezone(UTC))
        policy = self._api.DeliverPolicy.BY_START_TIME
        subscription = await self.subscribe(stream, None, self._reading(deliver_policy=policy, opt_start_time=start))
        try:
            if not (await subscription.consumer_info()).num_pending:
                return None
            messages = await self._fetch(subscription, 1, _READ_SECONDS)
            return _event(messages[0]).position if messages else None
        finally:
            await self._forgotten(stream, subscription)

    def _reading(self, **more: Any) -> Any:
        return self._api.ConsumerConfig(ack_policy=self._api.AckPolicy.NONE, inactive_threshold=30.0, **more)

    async def _fetch(self, subscription: Any, count: int, timeout: float) -> list[Any]:
        try:
            return list(await subscription.fetch(count, timeout=timeout))
        except TimeoutError:
            return []

    async def _forgotten(self, stream: str, subscription: Any) -> None:
        name = (await subscription.consumer_info()).name
        await subscription.unsubscribe()
        await self._js.delete_consumer(_name(stream), name)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        errors = self._js_errors
        try:
            yield
        except errors.NotFoundError as error:
            raise _Missing(f"JetStream at {self._where()} does not know that: {error}.") from error
        except errors.APIError as error:
            if error.err_code in _FULL or "maximum" in str(error.description):
                hint = "Let its consumers catch up and trim it, or raise the bound; then send the event again."
                raise StoreFull(f"The stream is full: {error.description}.", hint=hint) from error
            raise StoreUnavailable(f"JetStream at {self._where()} refuses: {error.description}.") from error
        except (self._nats.errors.Error, OSError, TimeoutError) as error:
            told = str(error) or type(error).__name__
            hint = "Is the server running, with JetStream (-js)?"
            raise StoreUnavailable(f"JetStream at {self._where()} does not answer: {told}.", hint=hint) from error

    def _where(self) -> str:
        return self._address.rpartition("@")[2]


class _Missing(StoreUnavailable):
    """A stream or consumer is not there."""


class JetStreamGroup:
    """A `Group` that is a durable pull consumer of JetStream."""

    def __init__(self, log: JetStreamLog, names: tuple[str, str], begin: Begin, ack_wait: float, attempts: int) -> None:
        self.stream, self.name = names
        self._log, self._attempts = log, attempts
        api, durable = log._api, _token(self.name)
        policy = {"all": api.DeliverPolicy.ALL, "new": api.DeliverPolicy.NEW}
        config = api.ConsumerConfig(
            durable_name=durable,
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=ack_wait,
            max_deliver=-1,  # dead letters are ours to write: JetStream would only stop
            max_ack_pending=100_000,
            filter_subject=_subject(self.stream),
            deliver_policy=policy.get(begin, api.DeliverPolicy.BY_START_SEQUENCE) if isinstance(begin, str) else None,
        )
        if isinstance(begin, int):
            start = {"deliver_policy": api.DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": begin + 1}
            config = config.evolve(**(start if begin else {"deliver_policy": api.DeliverPolicy.ALL}))
        self._known(durable, config)
        self._subscription: Any = log.do(log.subscribe(self.stream, durable, None))

    def take(self, limit: int = 100, timeout: float = 0.0) -> list[Delivery]:
        """Return up to `limit` events as soon as there are any, or nothing when `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            messages = self._log.do(self._log._fetch(self._subscription, limit, max(left, 0.05)))
            found = [item for item in map(self._delivery, messages) if item is not None]
            if found or left <= 0:
                return found

    def ack(self, *deliveries: Delivery, connection: Any = None) -> None:
        """Acknowledge deliveries, and return when the server has them all.

        Raises:
            InvalidInput: A `connection` was given; JetStream knows nothing of the journal's transactions.
        """
        if connection is not None:
            hint = "Store the event's position with the result, and pass over positions that are there already."
            raise InvalidInput("JetStream cannot acknowledge in the journal's transaction.", hint=hint)
        self._log.do(self._answer([(item.lease.ack, ()) for item in deliveries]))

    def again(self, delivery: Delivery, after: float = 0.0, reason: str = "given back by its consumer") -> None:
        """Give a delivery back: it comes again after so many seconds, or is dead when this was its last attempt."""
        if delivery.attempt >= self._attempts:
            self.bury(delivery, reason)
        else:
            self._log.do(self._answer([(delivery.lease.nak, (after or None,))]))

    def working(self, delivery: Delivery) -> None:
        """Say that a delivery is still worked on: its time to acknowledge begins anew."""
        self._log.do(self._answer([(delivery.lease.in_progress, ())]))

    def bury(self, delivery: Delivery, reason: str) -> None:
        """Move a delivery to the dead letters at once, with the reason."""
        self._log.bury(self.name, delivery, self.stream, reason)
        self._log.do(self._answer([(delivery.lease.term, ())]))

    def pending(self) -> int:
        """Return how many events the group has not acknowledged, handed out or not."""
        info = self._log.do(self._subscription.consumer_info())
        return int(info.num_pending) + int(info.num_ack_pending)

    def close(self) -> None:
        """Leave the group."""
        self._log.do(self._subscription.unsubscribe())

    def _known(self, durable: str, config: Any) -> None:
        js, name = self._log._js, _name(self.stream)
        try:
            found = self._log.do(js.consumer_info(name, durable)).config
            config = found.evolve(ack_wait=config.ack_wait)
        except _Missing:
            pass
        self._log.do(js.add_consumer(name, config))

    def _delivery(self, message: Any) -> Delivery | None:
        event, attempt = _event(message), int(message.metadata.num_delivered)
        if attempt <= self._attempts:
            return Delivery(event, attempt, message)
        self.bury(Delivery(event, self._attempts, message), f"not acknowledged in {self._attempts} attempts")
        return None

    async def _answer(self, calls: Sequence[tuple[Callable[..., Awaitable[None]], tuple[Any, ...]]]) -> None:
        for call, arguments in calls:
            await call(*arguments)
        await self._log._client.flush(timeout=int(_PATIENCE_SECONDS))


def _payload(event: Event) -> bytes:
    return _document(event, checked(event))


def _document(event: Event, data: str) -> bytes:
    # The data is JSON text already; the rest of the document is small.
    head = json.dumps(replace(event, data={}).document())
    return head.replace('"data": {}', f'"data": {data}', 1).encode()


def _event(message: Any) -> Event:
    event = Event.from_document(json.loads(message.data))
    return replace(event, position=int(message.metadata.sequence.stream))


def _token(name: str) -> str:
    """Return a name that JetStream takes, readable and told apart from all others."""
    return f"{re.sub('[^A-Za-z0-9_-]', '_', name)[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _name(stream: str) -> str:
    return f"gemel-{_token(stream)}"


def _subject(stream: str) -> str:
    return f"gemel.{_token(stream)}"

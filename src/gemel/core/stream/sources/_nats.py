"""Observations from a NATS JetStream stream, in its order, whatever breaks meanwhile."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import threading
from collections.abc import Awaitable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gemel.base.clock import iso
from gemel.base.errors import GemelError, InvalidInput, NotFound, StoreUnavailable
from gemel.base.ids import digest_bytes
from gemel.base.plugins import require
from gemel.core.stream.events import Event
from gemel.core.stream.sources._options import Options, revealed
from gemel.core.stream.sources._payload import MAPPING_OPTIONS, Payloads
from gemel.core.stream.sources._retry import Backoff
from gemel.core.stream.sources._source import SourceContext

_T = TypeVar("_T")
_OPTIONS = ["url", "stream", "subjects", "durable", "begin", "batch", "credentials", "token", "username", "password"]
_ACK_SECONDS = 10.0
_LOOK = 0.25  # seconds after which a waiting source looks whether it should stop
_PATIENCE = 5.0


class _Broken(StoreUnavailable):
    """The consumer's order is broken: another one begins where the last durable message stood."""


class Nats:
    """A durable pull consumer of a JetStream stream.

    Redelivery would hand out what a killed consumer had taken after what came later. So nothing is left to it: the
    sequence of the last durable message is remembered, and after a start, a gap or a second delivery, a new consumer
    begins right behind it. The one before goes afterwards, so that a stream that keeps messages for its consumers
    (interest) keeps them.

    Options:
        url: Like ``nats://host:4222`` or ``tls://host:4222``.
        stream: Name of the stream (default: the one that has the first subject).
        subjects: One subject or a list of them (default: all of the stream).
        durable: Name of the consumer (default: made of the source's name and its twin).
        begin: Where a new consumer begins: ``all`` (default) or ``new``.
        batch: Messages that are taken at a time (default 200).
        credentials: Path of a NATS credentials file.
        token, username, password: Token and password by reference: ``env:NAME`` or ``file:PATH``.
        format, time, fields, id, subject: How payloads are read; the NATS subject is the subject unless told.
    """

    def __init__(self, context: SourceContext) -> None:
        options = Options(context, "nats", [*_OPTIONS, *MAPPING_OPTIONS], ("url",))
        self._context, self._payloads = context, Payloads(context, options)
        self._nats: Any = require("nats", extra="streams")
        self._errors: Any = require("nats.js.errors", extra="streams")
        self._api: Any = require("nats.js.api", extra="streams")
        self._url = options.url("url", ("nats", "tls"))
        self._stream, self._subjects = options.text("stream"), options.texts("subjects")
        if not self._stream and not self._subjects:
            raise InvalidInput(f"Source '{context.name}' (nats) names neither stream nor subjects.")
        own = f"gemel-{digest_bytes(f'{context.uri} {context.name}'.encode())[:16]}"
        self._durable = options.text("durable", own)
        if not re.fullmatch("[A-Za-z0-9_-]{1,60}", self._durable):
            raise options.refuse("durable", "is no name of a consumer", "Letters, digits, - and _ are.")
        self._from_all = options.one_of("begin", ("all", "new")) == "all"
        self._batch = options.whole("batch", 200, 1, 1000)
        self._credentials, self._token = options.text("credentials"), options.reference("token")
        self._user, self._password = options.text("username"), options.reference("password")

    def events(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield what is published, in the order of the stream; a server that is away is waited for."""
        backoff = Backoff(self._context.name, first=0.2, longest=30.0)
        with _Loop() as loop:
            while not self._context.stop.is_set():
                try:
                    for found in self._followed(loop):
                        backoff.calm()
                        yield found
                except _Broken:
                    continue
                except GemelError as error:
                    if backoff.pause(self._context.stop, error):
                        return

    def _followed(self, loop: _Loop) -> Iterator[Sequence[Event]]:
        """Yield batches from one consumer until its order breaks, it fails, or `stop`."""
        client = self._asked(loop, self._connect())
        try:
            consumer = self._asked(loop, self._renewed(client.jetstream(timeout=_PATIENCE)))
            while not self._context.stop.is_set():
                messages = self._asked(loop, consumer.fetch(self._batch))
                found = [event for message in messages for event in self._read(message)]
                if found:
                    yield found
                if messages:
                    self._save(consumer, messages[-1])
                    self._asked(loop, consumer.ack(client, messages))
                if consumer.broken:
                    raise _Broken("A message came out of order.")
        finally:
            loop.quietly(client.close())

    def _read(self, message: Any) -> list[Event]:
        # Servers before 2.10 know one subject to filter by, and pass over several.
        if self._subjects and not any(matches(message.subject, item) for item in self._subjects):
            return []
        told = message.metadata
        arrived = told.timestamp if told.timestamp.tzinfo else told.timestamp.replace(tzinfo=UTC)
        key = f"{told.stream}/{told.sequence.stream}/{iso(arrived)}"
        return self._payloads.taken(message.data, arrived, key, message.subject)

    def _save(self, consumer: _Consumer, last: Any) -> None:
        told = last.metadata
        known = {"stream": told.stream, "sequence": int(told.sequence.stream), "number": consumer.number}
        self._context.memory.save(known | {"created": consumer.created})

    async def _connect(self) -> Any:
        async def quiet(_: Exception) -> None:
            """What goes wrong is told by the call that meets it."""

        more: dict[str, Any] = {"user_credentials": self._credentials} if self._credentials else {}
        more |= {"token": revealed(self._token)} if self._token else {}
        more |= {"user": self._user, "password": revealed(self._password)} if self._user else {}
        more |= {"tls": ssl.create_default_context()} if urlsplit(self._url).scheme == "tls" else {}
        # The client would try a server that is not there for longer than we wait for an end.
        parts = urlsplit(self._url)
        probe = asyncio.open_connection(parts.hostname, parts.port or 4222)
        _, writer = await asyncio.wait_for(probe, _PATIENCE)
        writer.close()
        # Without reconnection: after each failure a new consumer begins where the last one ended.
        return await asyncio.wait_for(
            self._nats.connect(self._url, error_cb=quiet, connect_timeout=2, allow_reconnect=False, **more), _PATIENCE
        )

    async def _renewed(self, js: Any) -> _Consumer:
        name = self._stream or await js.find_stream_name_by_subject(self._subjects[0])
        info = await js.stream_info(name)
        known = self._context.memory.load()
        created = str(info.created)
        same = known.get("stream") == name and known.get("created") == created
        last = int(known["sequence"]) if same else await self._floor(js, name, info)
        number = int(known.get("number", 0)) + 1
        this, before = (f"{self._durable}-{item % 2}" for item in (number, number - 1))
        queue = info.config.retention == self._api.RetentionPolicy.WORK_QUEUE
        # A work queue has one consumer at most, and keeps what nobody acknowledged.
        for stale in (this, before) if queue else (this,):
            await self._removed(js, name, stale)
        subscription = await self._subscribed(js, name, this, 0 if queue else last)
        if not queue:
            await self._removed(js, name, before)
        self._context.memory.save({"stream": name, "sequence": last, "number": number, "created": created})
        return _Consumer(subscription, number, created, self._nats.errors)

    async def _floor(self, js: Any, name: str, info: Any) -> int:
        """Return where a consumer without a memory begins: behind what its predecessor acknowledged."""
        found = []
        for number in (0, 1):
            try:
                known = await js.consumer_info(name, f"{self._durable}-{number}")
                found.append(int(known.ack_floor.stream_seq))
            except self._errors.NotFoundError:
                continue
        return max(found) if found else 0 if self._from_all else int(info.state.last_seq)

    async def _subscribed(self, js: Any, stream: str, durable: str, last: int) -> Any:
        policy = self._api.DeliverPolicy
        start = {"deliver_policy": policy.BY_START_SEQUENCE, "opt_start_seq": last + 1}
        one = self._subjects[0] if len(self._subjects) == 1 else None
        several = self._subjects if len(self._subjects) > 1 else None
        config = self._api.ConsumerConfig(
            durable_name=durable,
            ack_policy=self._api.AckPolicy.EXPLICIT,
            ack_wait=_ACK_SECONDS,
            max_ack_pending=2 * self._batch,
            **({"filter_subject": one} if one else {}),
            **({"filter_subjects": several} if several else {}),
            **(start if last else {"deliver_policy": policy.ALL}),
        )
        await js.add_consumer(stream, config)
        return await js.pull_subscribe_bind(durable, stream)

    async def _removed(self, js: Any, stream: str, durable: str) -> None:
        try:
            await js.delete_consumer(stream, durable)
        except self._errors.NotFoundError:
            return

    def _asked(self, loop: _Loop, work: Awaitable[_T]) -> _T:
        where = urlsplit(self._url).netloc.rpartition("@")[2]
        try:
            return loop.do(work)
        except self._errors.NotFoundError as error:
            raise NotFound(f"JetStream at {where} has no such stream or consumer: {error.description}.") from error
        except (self._nats.errors.Error, self._errors.Error, OSError, TimeoutError) as error:
            told = str(error) or type(error).__name__
            raise StoreUnavailable(f"JetStream at {where} does not answer: {told}.", hint="Is it up?") from error


def matches(subject: str, pattern: str) -> bool:
    """Return whether a NATS subject matches a pattern: ``*`` is one token, ``>`` all that follow.

    >>> matches("rain.north.1", "rain.*.1"), matches("rain.north.1", "rain.>"), matches("rain", "rain.>")
    (True, True, False)
    """
    parts, wanted = subject.split("."), pattern.split(".")
    if wanted == [">"]:
        return True
    if wanted[-1] == ">":
        return len(parts) >= len(wanted) and matches(".".join(parts[: len(wanted) - 1]), ".".join(wanted[:-1]))
    return len(parts) == len(wanted) and all(one in ("*", other) for one, other in zip(wanted, parts, strict=True))


class _Consumer:
    """A consumer whose deliveries come without gap and without repetition, or else it is broken."""

    def __init__(self, subscription: Any, number: int, created: str, errors: Any) -> None:
        self.number, self.created, self.broken = number, created, False
        self._subscription, self._errors = subscription, errors
        self._next = 1

    async def fetch(self, count: int) -> list[Any]:
        """Return the next messages, up to the first that is out of order."""
        try:
            found = await self._subscription.fetch(count, timeout=_LOOK)
        except TimeoutError:
            return []
        good = []
        for message in found:
            if int(message.metadata.sequence.consumer) != self._next or int(message.metadata.num_delivered) != 1:
                self.broken = True
                break
            self._next += 1
            good.append(message)
        return good

    async def ack(self, client: Any, messages: Sequence[Any]) -> None:
        """Acknowledge messages, and return when the server has it."""
        for message in messages:
            await message.ack()
        await client.flush(timeout=int(_PATIENCE))


class _Loop:
    """An event loop in a thread of its own."""

    def __enter__(self) -> _Loop:
        """Start it."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gemel-nats", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and what still runs in it."""
        self.quietly(_cancelled())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Awaitable[_T]) -> _T:
        """Return what the loop makes of some work."""

        async def wrapped() -> _T:
            return await work

        return asyncio.run_coroutine_threadsafe(wrapped(), self._loop).result()

    def quietly(self, work: Awaitable[Any]) -> None:
        """Do what may fail because all is over already."""
        try:
            self.do(asyncio.wait_for(work, _PATIENCE))
        except Exception as error:
            logging.getLogger("gemel.sources").debug("closing a connection to NATS: %s", error)


async def _cancelled() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)

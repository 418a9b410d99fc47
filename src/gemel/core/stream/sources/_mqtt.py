"""Observations from an MQTT broker: a lasting session, and acknowledgements only for what is durable."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from gemel.base.clock import iso, parse_instant, utc_now
from gemel.base.errors import StoreUnavailable
from gemel.base.ids import digest_bytes
from gemel.base.plugins import require
from gemel.core.stream.events import Event
from gemel.core.stream.sources._options import Options, revealed
from gemel.core.stream.sources._payload import MAPPING_OPTIONS, Payloads
from gemel.core.stream.sources._source import SourceContext

_LOG = logging.getLogger("gemel.sources")
_OPTIONS = ["url", "topics", "qos", "version", "session", "client", "username", "password", "inflight", "keepalive"]
_TLS = ["ca", "certificate", "key", "insecure"]
_LOOK = 0.2  # seconds after which a waiting source looks whether it should stop
_PATIENCE = 10.0  # seconds that a message without a promise (QoS 0) waits for room
_BYTES = 8 << 20  # of payloads that wait
_TAKEN = 500  # messages that are handed on together
_ARRIVALS = 2000  # that are remembered


@dataclass(frozen=True)
class _Message:
    payload: bytes
    topic: str
    arrived: datetime
    mid: int
    qos: int
    session: int
    again: bool


class Mqtt:
    """A subscription with an MQTT broker (OASIS MQTT 5.0, or 3.1.1).

    The broker keeps the session while we are away, and keeps every message until we acknowledge it, which happens once
    its events are durable in the log (sections 3.1.2.11.2 and 4.4). What was published with QoS 0 has no such promise.

    Options:
        url: Like ``mqtt://host:1883`` or ``mqtts://host:8883``.
        topics: One topic filter or a list of them.
        qos: 1, and no other: with 0 the broker forgets what we miss, and with 2 it forgets a message before we have made
            it durable (section 4.3.3). A message that comes twice is known by its event's id.
        version: ``5`` (default) or ``3.1.1``.
        session: How long the broker keeps our session while we are away (MQTT 5; default 7 d).
        client: Client id (default: made of the source's name and its twin; the same each time).
        username, password: The password by reference: ``env:NAME`` or ``file:PATH``.
        ca, certificate, key: Files for TLS (default: the system's authorities, no certificate of ours).
        insecure: ``yes`` when the host's name in the broker's certificate is not to be checked (default ``no``).
        inflight: Messages that may wait for their acknowledgement (default 200); twice as many are held at most.
        keepalive: Default 30 s.
        format, time, fields, id, subject: How payloads are read; the topic is the subject unless told.
    """

    def __init__(self, context: SourceContext) -> None:
        options = Options(context, "mqtt", [*_OPTIONS, *_TLS, *MAPPING_OPTIONS], ("url", "topics"))
        self._context, self._payloads = context, Payloads(context, options)
        self._mqtt: Any = require("paho.mqtt.client", extra="streams")
        self._where = urlsplit(options.url("url", ("mqtt", "mqtts")))
        self._topics = [self._checked(options, topic) for topic in options.texts("topics")]
        if options.whole("qos", 1) != 1:
            raise options.refuse(
                "qos", "may lose messages", "Subscribe with 1; events that come twice are known by id."
            )
        self._qos = 1
        self._five = options.one_of("version", ("5", "3.1.1")) == "5"
        self._lasting = int(min(options.seconds("session", "7 d"), 0xFFFFFFFE))
        own = f"gemel-{digest_bytes(f'{context.uri} {context.name}'.encode())[:16]}"
        self._client_id = options.text("client", own)
        self._user, self._password = options.text("username"), options.reference("password")
        self._files = {name: options.text(name) or None for name in ("ca", "certificate", "key")}
        self._insecure = options.one_of("insecure", ("no", "yes")) == "yes"
        self._inflight = options.whole("inflight", 200, 1, 10_000)
        self._keepalive = int(options.seconds("keepalive", "30 s", 1.0))
        self._queue = _Queue(self._inflight)
        self._arrivals = _Arrivals(context, self._payloads)
        self._session, self._leaving = 0, False

    def events(self, after: datetime | None) -> Iterator[Event | Sequence[Event]]:
        """Yield what is published; a broker that is away is waited for."""
        self._leaving = False
        client = self._connected()
        try:
            while not self._context.stop.is_set():
                messages = self._queue.take(_LOOK)
                if not messages:
                    continue
                found = [event for message in messages for event in self._read(message)]
                self._arrivals.save()
                if found:
                    yield found
                self._acknowledge(client, messages)
        finally:
            self._leaving = True
            self._queue.close()
            client.disconnect()
            client.loop_stop()

    def _checked(self, options: Options, topic: str) -> str:
        # A shared subscription has no order among its members.
        if not self._mqtt.topic_matches_sub(topic, topic.replace("#", "x").replace("+", "x")):
            raise options.refuse("topics", f"has '{topic}' in it, which is no topic filter")
        if len(topic.encode()) > 65535 or "\0" in topic or topic.startswith("$share/"):
            raise options.refuse("topics", f"has '{topic[:80]}' in it, which cannot be subscribed to here")
        return topic

    def _read(self, message: _Message) -> list[Event]:
        arrived = self._arrivals.of(message)
        return self._payloads.taken(message.payload, arrived, subject=message.topic)

    def _acknowledge(self, client: Any, messages: Sequence[_Message]) -> None:
        # What came in an earlier connection comes again in this one, under a number that may be another's.
        present = [message for message in messages if message.session == self._session or not message.qos]
        self._arrivals.done(present)
        for message in present:
            if message.qos:
                client.ack(message.mid, message.qos)

    def _connected(self) -> Any:
        mqtt, five = self._mqtt, self._five
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=None if five else False,
            protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
            manual_ack=True,
        )
        client.on_connect, client.on_disconnect, client.on_message = self._opened, self._closed, self._heard
        client.on_subscribe = self._subscribed
        client.reconnect_delay_set(1, 30)
        if self._user:
            client.username_pw_set(self._user, revealed(self._password))
        if self._where.scheme == "mqtts":
            self._secure(client)
        port = self._where.port or (8883 if self._where.scheme == "mqtts" else 1883)
        more = {"clean_start": False, "properties": self._properties()} if five else {}
        client.connect_async(self._where.hostname, port, self._keepalive, **more)
        client.loop_start()
        return client

    def _secure(self, client: Any) -> None:
        try:
            client.tls_set(self._files["ca"], self._files["certificate"], self._files["key"])
        except (OSError, ValueError) as error:
            raise StoreUnavailable(f"Source '{self._context.name}' cannot speak TLS: {error}.") from error
        client.tls_insecure_set(self._insecure)

    def _properties(self) -> Any:
        types: Any = require("paho.mqtt.packettypes", extra="streams")
        properties: Any = require("paho.mqtt.properties", extra="streams").Properties(types.PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self._lasting
        properties.ReceiveMaximum = self._inflight
        return properties

    def _opened(self, client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            _LOG.warning("Source '%s': the broker refuses us: %s", self._context.name, reason)
            return
        if self._session and not flags.session_present:
            told = "Source '%s': the broker has lost our session; what it kept for us is gone with it"
            _LOG.warning(told, self._context.name)
        self._session += 1
        # What was not handed on yet was not acknowledged, and comes again, before anything newer.
        self._queue.clear()
        client.subscribe([(topic, self._subscription()) for topic in self._topics])

    def _subscription(self) -> Any:
        if not self._five:
            return self._qos
        options: Any = require("paho.mqtt.subscribeoptions", extra="streams").SubscribeOptions
        return options(qos=self._qos, retainHandling=options.RETAIN_SEND_IF_NEW_SUB)

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        for topic, reason in zip(self._topics, reasons, strict=False):
            if reason.is_failure:
                _LOG.warning("Source '%s': the broker refuses topic '%s': %s", self._context.name, topic, reason)

    def _closed(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not self._leaving:
            _LOG.warning("Source '%s': the broker is gone (%s); trying again", self._context.name, reason)

    def _heard(self, _client: Any, _data: Any, found: Any) -> None:
        arrived = utc_now()
        message = _Message(
            bytes(found.payload), found.topic, arrived, found.mid, found.qos, self._session, bool(found.dup)
        )
        if not self._queue.put(message, _PATIENCE) and not self._leaving:
            _LOG.warning("Source '%s' had no room for a message of QoS 0", self._context.name)


class _Queue:
    """Messages that wait to be handed on: some more than the broker should send before they are acknowledged."""

    def __init__(self, most: int) -> None:
        self._waiting: deque[_Message] = deque()
        self._most, self._bytes, self._open = 2 * most, 0, True
        self._changed = threading.Condition()

    def put(self, message: _Message, patience: float) -> bool:
        """Return whether there was room; the network thread waits for it, so that the socket is not read meanwhile.

        A message with a promise waits as long as it takes (a broker that gives us up comes again with it), one
        without for `patience` seconds.
        """
        with self._changed:
            room = self._changed.wait_for(self._has_room, None if message.qos else patience) and self._open
            if room:
                self._waiting.append(message)
                self._bytes += len(message.payload)
                self._changed.notify_all()
            return room

    def take(self, timeout: float) -> list[_Message]:
        """Return what waits, oldest first."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting), timeout)
            found = [self._waiting.popleft() for _ in range(min(len(self._waiting), _TAKEN))]
            self._bytes -= sum(len(message.payload) for message in found)
            self._changed.notify_all()
            return found

    def clear(self) -> None:
        """Forget what waits and will come again."""
        with self._changed:
            self._waiting = deque(message for message in self._waiting if not message.qos)
            self._bytes = sum(len(message.payload) for message in self._waiting)
            self._changed.notify_all()

    def close(self) -> None:
        """Let the network thread go."""
        with self._changed:
            self._open = False
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return not self._open or (len(self._waiting) < self._most and self._bytes < _BYTES)


@dataclass
class _Arrival:
    key: str
    when: str
    session: int


class _Arrivals:
    """When messages came that say nothing of their own time: one that comes again is of its first arrival.

    Written down before they are handed on, and struck out before they are acknowledged: no later message with the same
    words can be taken for one that is kept already.
    """

    def __init__(self, context: SourceContext, payloads: Payloads) -> None:
        self._memory, self._payloads = context.memory, payloads
        saved = context.memory.load().get("arrivals", [])
        self._kept = [_Arrival(str(key), str(when), 0) for key, when in saved]
        self._changed = False

    def of(self, message: _Message) -> datetime:
        """Return when a message arrived for the first time."""
        if self._payloads.tells_time(message.payload):
            return message.arrived
        key = _key(message)
        for item in self._kept:
            if message.again and item.key == key and item.session < message.session:
                item.session = message.session
                return parse_instant(item.when)
        self._kept.append(_Arrival(key, iso(message.arrived) or "", message.session))
        self._changed = True
        return message.arrived

    def save(self) -> None:
        """Write down what is handed on now."""
        if self._changed:
            self._memory.save({"arrivals": [[item.key, item.when] for item in self._kept]})
            self._changed = False

    def done(self, messages: Sequence[_Message]) -> None:
        """Strike out what will be acknowledged now."""
        gone = Counter((_key(message), message.session) for message in messages)
        left: list[_Arrival] = []
        for item in self._kept:
            if gone[item.key, item.session] > 0:
                gone[item.key, item.session] -= 1
            else:
                left.append(item)
        self._changed = len(left) < len(self._kept)
        self._kept = left[-_ARRIVALS:]
        self.save()


def _key(message: _Message) -> str:
    return digest_bytes(message.topic.encode() + b"\0" + message.payload)[:24]

"""MQTT with a real Mosquitto: what is published comes, in order, and nothing is acknowledged before it is durable."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import paho.mqtt.client as mqtt
import pytest
from mosquitto_server import MosquittoServer, mosquitto_program
from source_stage import PATIENCE, START, Follower, Told, following, reading, until

from gemel.base.errors import InvalidInput
from gemel.core.stream.sources import Mqtt
from gemel.testing import SourceContract


@pytest.fixture
def broker(tmp_path):
    server = MosquittoServer(tmp_path / "broker", mosquitto_program())
    server.start()
    yield server
    server.kill()


class Publisher:
    """A client that publishes with QoS 1 and knows what the broker has taken."""

    def __init__(self, port: int, user: str = "", password: str = "") -> None:
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="publisher", clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        if user:
            self.client.username_pw_set(user, password)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def send(self, *payloads: bytes, topic: str = "rain/north", qos: int = 1, retain: bool = False) -> None:
        waiting = [self.client.publish(topic, payload, qos, retain) for payload in payloads]
        for payload, item in zip(payloads, waiting, strict=True):
            until(lambda item=item, payload=payload: self._is_taken(item, (topic, payload, qos, retain)))

    def _is_taken(self, item: mqtt.MQTTMessageInfo, message: tuple) -> bool:
        # While the broker is away the client refuses; a message is sent again then, as stubborn gauges do.
        if item.rc == mqtt.MQTT_ERR_NO_CONN and not self.client.is_connected():
            return False
        if item.rc == mqtt.MQTT_ERR_NO_CONN:
            item = self.client.publish(*message)
        try:
            item.wait_for_publish(PATIENCE)
            return item.is_published()
        except RuntimeError:
            return False

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def publisher(broker):
    found = Publisher(broker.port)
    yield found
    found.close()


@pytest.fixture
def contract_broker(request, broker, publisher):
    request.instance.broker, request.instance.publisher = broker, publisher


@pytest.mark.slow
@pytest.mark.usefixtures("contract_broker")
class TestMqtt(SourceContract):
    amount = 4
    by_time = False

    def opened(self, stop: threading.Event) -> Mqtt:
        return Mqtt(self.context({"url": self.broker.url, "topics": "rain/#"}, stop))

    def speak(self, source) -> None:
        self.wait_for_session()
        self.publisher.send(*(reading(number) for number in range(4)))

    def babble(self, source) -> bool:
        self.wait_for_session()
        self.publisher.send(b"{no json", b'{"time": "soon", "flow": 1}', b'{"flow": NaN}')
        return True

    def wait_for_session(self) -> None:
        # Before the broker knows us it keeps nothing for us.
        until(lambda: "rain/#" in self.broker.log())


@pytest.fixture
def known(broker, publisher):
    """Return a function that opens a source once, so that the broker keeps what is published for it."""

    def make(**options) -> tuple[Told, Mqtt]:
        told = Told(url=broker.url, topics="rain/#", **options)
        with following(Mqtt(told.context), told) as follower:
            publisher.send(b'{"time": "2000-01-01", "flow": -1, "value": -1}', retain=True)
            follower.until(lambda: follower.durable)
        publisher.send(b"", retain=True)
        again = Told(told.memory, url=broker.url, topics="rain/#", **options)
        return again, Mqtt(again.context)

    return make


@pytest.mark.slow
def test_what_was_published_while_we_were_away_comes_in_order(known, publisher):
    told, source = known()
    publisher.send(*(reading(number) for number in range(300)))
    with following(source, told) as follower:
        follower.until(lambda: len(follower.firsts()) >= 300)
    assert follower.firsts() == [float(number) for number in range(300)]
    assert follower.durable[0].time == START and follower.durable[0].subject == "rain/north"
    # The empty payload that takes back the retained one is no observation.
    assert [reason for reason, _ in told.rejected] == [
        "The payload is not JSON: Expecting value: line 1 column 1 (char 0)."
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("version", "qos"), [("5", 1), ("5", 2), ("3.1.1", 1)])
def test_nothing_is_acknowledged_before_it_is_durable(known, publisher, broker, version, qos):
    told, source = known(version=version)
    publisher.send(*(reading(number) for number in range(5)), qos=qos)
    events = source.events(None)
    taken = list(next(events))  # not asked for more: none of it is durable
    events.close()
    # Whoever comes next gets all that again.
    again = Told(told.memory, url=broker.url, topics="rain/#", version=version)
    with following(Mqtt(again.context), again) as follower:
        follower.until(lambda: len(follower.firsts()) >= 5)
    assert follower.firsts() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert [event.id for event in taken] == [event.id for event in follower.durable[: len(taken)]]
    # And then it is done.
    last = Told(told.memory, url=broker.url, topics="rain/#", version=version)
    with following(Mqtt(last.context), last) as follower:
        publisher.send(reading(99), qos=qos)
        follower.until(lambda: follower.durable)
    assert follower.firsts() == [99.0]


@pytest.mark.slow
@pytest.mark.chaos
def test_a_broker_that_is_killed_and_started_again_loses_nothing(known, publisher, broker):
    told, source = known()
    seen = threading.Event()

    def hold(events) -> None:
        if events[-1].data["flow"] >= 40:
            seen.set()

    with following(source, told, hold) as follower:
        sender = threading.Thread(target=lambda: [publisher.send(reading(number)) for number in range(200)])
        sender.start()
        assert seen.wait(PATIENCE)
        broker.kill()
        broker.start()
        sender.join(PATIENCE)
        assert not sender.is_alive()
        follower.until(lambda: len(set(follower.firsts())) >= 200)
    assert follower.firsts() == [float(number) for number in range(200)]


@pytest.mark.slow
def test_readings_that_say_no_time_are_told_apart_and_keep_their_ids_when_they_come_again(known, publisher, broker):
    told, source = known(format="auto", fields={"level": "value"})
    publisher.send(b"3.0", b"3.0", b"3.0")
    events = source.events(None)
    first = list(next(events))
    events.close()
    assert len({event.id for event in first}) == len(first)
    again = Told(told.memory, url=broker.url, topics="rain/#", format="auto", fields={"level": "value"})
    with following(Mqtt(again.context), again) as follower:
        publisher.send(b"4.0")
        follower.until(lambda: any(event.data["level"] == 4.0 for event in follower.durable))
    came = [event.id for event in follower.durable if event.data["level"] == 3.0]
    assert len(set(came)) == len(came) == 3
    assert {event.id for event in first} <= set(came), "what comes again has another id"


@pytest.mark.slow
def test_a_slow_log_holds_the_broker_back(known, publisher):
    told, source = known(inflight=10)
    publisher.send(*(reading(number) for number in range(200)))
    go, most = threading.Event(), []

    def hold(events) -> None:
        most.append(len(source._queue._waiting) + len(events))
        go.wait(PATIENCE)

    with following(source, told, hold) as follower:
        until(lambda: most)
        threading.Event().wait(0.3)  # time enough for a broker that is not held back
        assert len(source._queue._waiting) <= 20
        go.set()
        follower.until(lambda: len(follower.firsts()) >= 200)
    assert max(most) <= 40
    assert follower.firsts() == [float(number) for number in range(200)]


@pytest.mark.slow
def test_a_password_is_given_by_reference_and_a_wrong_one_is_said(tmp_path, monkeypatch, caplog):
    server = MosquittoServer(tmp_path / "broker", mosquitto_program(), {"gauge": "s3cret"})
    server.start()
    try:
        publisher = Publisher(server.port, "gauge", "s3cret")
        monkeypatch.setenv("GAUGE_PASSWORD", "wrong")
        options = {"url": server.url, "topics": "rain/#", "username": "gauge", "password": "env:GAUGE_PASSWORD"}
        told = Told(**options)
        with following(Mqtt(told.context), told):
            until(lambda: "refuses us" in caplog.text)
        assert "wrong" not in caplog.text
        monkeypatch.setenv("GAUGE_PASSWORD", "s3cret")
        told = Told(**options)
        with following(Mqtt(told.context), told) as follower:
            publisher.send(reading(1), retain=True)
            follower.until(lambda: follower.durable)
        publisher.close()
    finally:
        server.kill()


def test_a_broker_that_is_not_there_is_waited_for_and_the_source_still_ends():
    told = Told(url="mqtt://127.0.0.1:9", topics="a")
    follower = Follower(Mqtt(told.context), told)
    begun = time.monotonic()
    follower.end()
    assert time.monotonic() - begun < 5 and follower.durable == []


def test_its_client_id_is_the_same_each_time_and_another_for_another_twin():
    def client(twin: str) -> str:
        told = Told(url="mqtt://h", topics="a")
        return Mqtt(replace(told.context, uri=f"/twins/{twin}/sources/gauge"))._client_id

    assert client("x") == client("x") != client("y")
    assert len(client("x")) <= 23  # all that an MQTT 3.1 server must take


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"topcis": "a"}, "Did you mean 'topics'"),
        ({"topics": ""}, "topics"),
        ({"url": "http://host"}, "mqtt://host"),
        ({"url": "mqtt://user:secret@host"}, "by reference"),
        ({"url": "mqtt://host:port"}, "no address"),
        ({"topics": "a/#/b"}, "no topic filter"),
        ({"topics": "$share/group/a"}, "cannot be subscribed"),
        ({"topics": ["a", 3]}, "no list of texts"),
        ({"qos": 0}, "may lose"),
        ({"qos": 2}, "may lose"),
        ({"version": "4"}, "5 or 3.1.1"),
        ({"password": "secret"}, "env:VARIABLE"),
        ({"session": "long"}, "no duration"),
        ({"inflight": 0}, "from 1"),
        ({"format": "xml"}, "auto"),
        ({"fields": "flow"}, "no table"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_when_opening(options, says):
    with pytest.raises(InvalidInput) as refused:
        Mqtt(Told(**({"url": "mqtt://host", "topics": "a"} | options)).context)
    assert says in f"{refused.value.message} {refused.value.hint}"
    assert "secret" not in refused.value.message.replace("secret is", "")

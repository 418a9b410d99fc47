"""JetStream as a source, with a real nats-server: the stream's order, whatever is killed, and nothing lost."""

from __future__ import annotations

import asyncio
import threading
import time

import nats
import pytest
from nats.js.api import RetentionPolicy
from nats_server import NatsServer, nats_program
from source_stage import PATIENCE, START, Follower, Told, following, reading, until

from gemel.base.errors import InvalidInput
from gemel.core.stream.sources import Nats
from gemel.testing import SourceContract


class Publisher:
    """Publishes to JetStream, and tries again until it is acknowledged."""

    def __init__(self, url: str) -> None:
        self._url = url

    def make(self, retention: RetentionPolicy = RetentionPolicy.LIMITS, subjects=("rain.>",)) -> None:
        self._do(lambda js: js.add_stream(name="rain", subjects=list(subjects), retention=retention))

    def remove(self) -> None:
        self._do(lambda js: js.delete_stream("rain"))

    def left(self) -> int:
        return self._do(lambda js: js.stream_info("rain")).state.messages

    def consumers(self):
        return self._do(lambda js: js.consumers_info("rain"))

    def send(self, *payloads: bytes, subject: str = "rain.north") -> None:
        async def all_of_them(js) -> None:
            for payload in payloads:
                await js.publish(subject, payload)

        self._do(all_of_them)

    def send_stubbornly(self, payload: bytes) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self.send(payload)
            except Exception:
                assert time.monotonic() < deadline
                threading.Event().wait(0.05)

    def _do(self, work):
        async def run():
            client = await nats.connect(self._url, allow_reconnect=False, connect_timeout=2)
            try:
                return await work(client.jetstream(timeout=5))
            finally:
                await client.close()

        return asyncio.run(run())


@pytest.fixture
def server(tmp_path):
    found = NatsServer(tmp_path, nats_program())
    found.start()
    yield found
    found.kill()


@pytest.fixture
def publisher(server):
    return Publisher(server.url)


@pytest.fixture
def contract_server(request, server, publisher):
    request.instance.server, request.instance.publisher = server, publisher
    publisher.make()


@pytest.mark.slow
@pytest.mark.usefixtures("contract_server")
class TestNats(SourceContract):
    amount = 4
    by_time = False

    def opened(self, stop: threading.Event) -> Nats:
        return Nats(self.context({"url": self.server.url, "subjects": "rain.>"}, stop))

    def speak(self, source) -> None:
        self.publisher.send(*(reading(number) for number in range(4)))

    def babble(self, source) -> bool:
        self.publisher.send(b"{no json", b'{"time": 1e300, "flow": 1}', b"\xff\xfe")
        return True


def told_of(server: NatsServer, memory=None, **more) -> Told:
    return Told(memory, url=server.url, stream="rain", **more)


@pytest.mark.slow
@pytest.mark.parametrize("retention", [RetentionPolicy.LIMITS, RetentionPolicy.WORK_QUEUE, RetentionPolicy.INTEREST])
def test_what_a_killed_consumer_had_taken_is_not_overtaken(server, publisher, retention):
    publisher.make(retention)
    told = told_of(server, batch=5)
    first = Nats(told.context).events(None)
    publisher_thread = threading.Thread(
        target=lambda: (until(lambda: publisher.consumers()), publisher.send(*(reading(n) for n in range(20))))
    )
    publisher_thread.start()
    taken = list(next(first))
    publisher_thread.join(PATIENCE)
    # Killed: what it had taken is neither durable nor acknowledged, and the server holds it back for ten seconds.
    begun = time.monotonic()
    again = told_of(server, told.memory, batch=5)
    with following(Nats(again.context), again) as follower:
        follower.until(lambda: len(follower.firsts()) >= 20)
    first.close()
    assert time.monotonic() - begun < 8
    assert follower.firsts() == [float(number) for number in range(20)]
    assert [event.id for event in follower.durable[: len(taken)]] == [event.id for event in taken]
    if retention != RetentionPolicy.LIMITS:
        # All is acknowledged, so such a stream keeps nothing.
        assert until(lambda: publisher.left() == 0)


@pytest.mark.slow
@pytest.mark.chaos
def test_a_server_that_is_killed_and_started_again_loses_nothing(server, publisher):
    publisher.make()
    told = told_of(server, batch=10)
    with following(Nats(told.context), told) as follower:
        sender = threading.Thread(target=lambda: [publisher.send_stubbornly(reading(n)) for n in range(150)])
        sender.start()
        for count in (30, 80):
            follower.until(lambda count=count: len(follower.firsts()) >= count)
            server.kill()
            server.start()
        sender.join(PATIENCE)
        assert not sender.is_alive()
        follower.until(lambda: len(follower.firsts()) >= 150)
    assert follower.firsts() == [float(number) for number in range(150)]


@pytest.mark.slow
def test_a_log_that_takes_longer_than_the_server_waits_loses_no_order(server, publisher, monkeypatch):
    monkeypatch.setattr("gemel.core.stream.sources._nats._ACK_SECONDS", 0.5)
    publisher.make()
    publisher.send(*(reading(number) for number in range(30)))
    told = told_of(server, batch=5)
    slow = []

    def hold(events) -> None:
        if not slow:
            slow.append(time.monotonic())
            threading.Event().wait(1.2)

    with following(Nats(told.context), told, hold) as follower:
        follower.until(lambda: len(follower.firsts()) >= 30)
    assert follower.firsts() == [float(number) for number in range(30)]


@pytest.mark.slow
def test_it_goes_on_behind_the_last_durable_message(server, publisher):
    publisher.make()
    publisher.send(*(reading(number) for number in range(10)))
    told = told_of(server)
    with following(Nats(told.context), told) as follower:
        follower.until(lambda: len(follower.firsts()) >= 10)
    assert follower.durable[0].time == START and follower.durable[0].subject == "rain.north"
    publisher.send(reading(10))
    again = told_of(server, told.memory)
    with following(Nats(again.context), again) as follower:
        follower.until(lambda: follower.durable)
    assert follower.firsts() == [10.0]
    # Even without its memory, from what the server knows of it.
    publisher.send(reading(11))
    bare = told_of(server)
    with following(Nats(bare.context), bare) as follower:
        follower.until(lambda: follower.durable)
    assert follower.firsts() == [11.0]
    # Each opening leaves one consumer.
    assert len(publisher.consumers()) == 1


@pytest.mark.slow
def test_a_stream_that_was_made_anew_is_read_from_its_beginning(server, publisher):
    publisher.make()
    publisher.send(*(b"1.5" for _ in range(5)))
    told = told_of(server, fields={"flow": "value"})
    with following(Nats(told.context), told) as follower:
        follower.until(lambda: len(follower.firsts()) >= 5)
    before = {event.id for event in follower.durable}
    publisher.remove()
    publisher.make()
    publisher.send(b"1.5", b"1.5")
    again = told_of(server, told.memory, fields={"flow": "value"})
    with following(Nats(again.context), again) as follower:
        follower.until(lambda: len(follower.durable) >= 2)
    # The same words at the same places of another stream are news.
    assert not before & {event.id for event in follower.durable}


@pytest.mark.slow
def test_subjects_choose_and_a_new_consumer_may_begin_now(server, publisher):
    publisher.make()
    publisher.send(reading(1))
    publisher.send(reading(2), subject="rain.south")
    publisher.send(reading(3), subject="rain.east")
    told = told_of(server, subjects=["rain.north", "rain.e*"])
    source = Nats(told.context)
    with following(source, told) as follower:
        publisher.send(reading(4))
        follower.until(lambda: 1.0 in follower.firsts())
        until(lambda: told.memory.load().get("sequence", 0) >= 2)
    told = Told(url=server.url, subjects="rain.*", begin="new", durable="other")
    with following(Nats(told.context), told) as follower:
        until(lambda: told.memory.load())
        publisher.send(reading(9))
        follower.until(lambda: follower.durable)
    assert follower.firsts() == [9.0]


@pytest.mark.slow
def test_a_stream_that_is_not_there_is_waited_for_and_said(server, publisher, caplog):
    told = told_of(server)
    with following(Nats(told.context), told) as follower:
        until(lambda: "no such stream" in caplog.text)
        publisher.make()
        publisher.send(reading(7))
        follower.until(lambda: follower.durable)


def test_a_server_that_is_not_there_is_waited_for_and_the_source_still_ends(caplog):
    told = Told(url="nats://127.0.0.1:9", stream="rain")
    follower = Follower(Nats(told.context), told)
    until(lambda: "tries again" in caplog.text)
    begun = time.monotonic()
    follower.end()
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"subject_s": "a"}, "no option"),
        ({"stream": ""}, "neither stream nor subjects"),
        ({"url": "http://h"}, "nats://host"),
        ({"url": "nats://user:secret@h"}, "by reference"),
        ({"durable": "a b"}, "no name of a consumer"),
        ({"begin": "now"}, "Did you mean 'new'"),
        ({"batch": 0}, "from 1"),
        ({"token": "secret"}, "env:VARIABLE"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_when_opening(options, says):
    with pytest.raises(InvalidInput) as refused:
        Nats(Told(**({"url": "nats://h", "stream": "s"} | options)).context)
    assert says in f"{refused.value.message} {refused.value.hint}"

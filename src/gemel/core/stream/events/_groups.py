"""Consumer groups in the journal: what was handed out to whom, until when, and what became of it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection

from gemel.base.errors import Conflict, InvalidInput
from gemel.core.stream.events._event import Event
from gemel.core.stream.events._lane import Lane
from gemel.core.stream.events._log import DEAD, Begin, Delivery, data_text, dead_letter, is_gone, this_consumer
from gemel.core.stream.events._rows import Rows
from gemel.core.stream.events._wake import Bell
from gemel.infra.store import Store, schema

_LOOK_SECONDS = 0.1
_GROUPS, _OPEN = schema.event_groups, schema.event_deliveries


class SqlGroup:
    """A `Group` whose deliveries are rows of the journal, one for all that were taken together.

    Taking and acknowledging cost one small transaction for any number of events. A consumer that died on this machine
    is noticed within half a second; elsewhere its events come again after `ack_wait`.
    """

    def __init__(self, lane: Lane, rows: Rows, bell: Bell, names: tuple[str, str], look_again: float) -> None:
        self._lane, self._rows, self._bell, self._look_again = lane, rows, bell, look_again
        self.stream, self.name = names
        self._me = f"{this_consumer()}:{secrets.token_hex(4)}"
        self._mine = {"stream": self.stream, "name": self.name}
        self._say = _Statements(rows.store)
        self._position: int | None = None
        self._ack_wait, self._attempts, self._due, self._looked = 30.0, 5, 0.0, 0.0

    def open(self, begin: Begin, ack_wait: float, attempts: int) -> None:
        """Make the group if it is new; a known one keeps its position and learns the other two."""
        if not self.name or len(self.name) > 200 or not ack_wait > 0 or attempts < 1:
            raise InvalidInput(
                "A group has a name of 1 to 200 characters, a positive ack_wait and at least one attempt."
            )
        self._ack_wait, self._attempts = float(ack_wait), attempts
        insert = self._rows.store.insert(_GROUPS)
        changed = insert.on_conflict_do_update(
            index_elements=["stream", "name"], set_={"ack_wait": self._ack_wait, "attempts": attempts}
        )
        with self._lane.write() as connection:
            last = self._rows.last_position(connection, self.stream)
            position = {"all": 0, "new": last}.get(begin, begin) if isinstance(begin, str) else begin
            row = self._mine | {"position": position, "created": time.time()}
            connection.execute(changed, row | {"ack_wait": self._ack_wait, "attempts": attempts})

    def take(self, limit: int = 100, timeout: float = 0.0) -> list[Delivery]:
        """Return up to `limit` events as soon as there are any, or nothing when `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        with self._bell.listening(self.stream) as ear:
            while True:
                ear.clear()
                # While there is news, what is due is asked for when something can be due, not each time.
                early = self._returned(limit) if time.time() >= min(self._due, self._looked + _LOOK_SECONDS) else []
                found = early or self._new(limit) or self._returned(limit)
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                ear.wait(max(0.001, min(left, self._look_again, self._due - time.time())))

    def ack(self, *deliveries: Delivery, connection: Connection | None = None) -> None:
        """Acknowledge deliveries, in the caller's transaction on the journal when its `connection` is given.

        Inside that transaction, do nothing else with the log: it would wait for itself.

        Raises:
            Conflict: With a `connection`: a delivery has meanwhile gone to another consumer; roll back.
        """
        if connection is not None:
            if self._remove(connection, deliveries) < len(deliveries):
                message = f"An event of '{self.stream}' has meanwhile gone to another consumer of '{self.name}'."
                raise Conflict(message, hint="Roll back: the other one does the work.", stream=self.stream)
            return
        with self._lane.write() as own:
            self._remove(own, deliveries)

    def again(self, delivery: Delivery, after: float = 0.0, reason: str = "given back by its consumer") -> None:
        """Give a delivery back: it comes again after so many seconds, or is dead when this was its last attempt."""
        if delivery.attempt >= self._attempts:
            self.bury(delivery, reason)
            return
        with self._lane.write() as connection:
            if self._remove(connection, [delivery]):
                until = time.time() + after
                self._lend(connection, [delivery.event.position], ("", delivery.attempt, until))
                self._due = min(self._due, until)
        self._bell.ring(self.stream)

    def working(self, delivery: Delivery) -> None:
        """Say that a delivery is still worked on: the time to acknowledge begins anew for all that came with it."""
        with self._lane.write() as connection:
            self._say.extend(connection, self._mine | {"lease": delivery.lease, "until": time.time() + self._ack_wait})

    def bury(self, delivery: Delivery, reason: str) -> None:
        """Move a delivery to the dead letters at once, with the reason."""
        with self._lane.write() as connection:
            if self._remove(connection, [delivery]):
                self._bury(connection, [delivery], reason)
        self._bell.ring(self.stream + DEAD)

    def pending(self) -> int:
        """Return how many events the group has not acknowledged, handed out or not."""
        with self._rows.store.read() as connection:
            new = self._say.waiting(connection, self._mine | {"of": self.stream}).fetchone()[0]
            handed_out = self._say.handed_out(connection, self._mine).fetchall()
        return int(new) + sum(len(json.loads(text)) for (text,) in handed_out)

    def close(self) -> None:
        """Leave the group: what this consumer took and did not acknowledge comes again to the others at once."""
        with self._lane.write() as connection:
            self._say.release(connection, self._mine | {"consumer": self._me, "until": 0.0})
        self._bell.ring(self.stream)

    def _new(self, limit: int) -> list[Delivery]:
        """Hand out what nobody has seen; the transaction is as short as can be, reading goes on outside of it."""
        while True:
            with self._lane.read() as connection:
                if self._position is None:
                    self._position = int(self._say.position(connection, self._mine).fetchone()[0])
                begin = self._position
                events = self._rows.after(connection, self.stream, begin, limit)
            if not events:
                # Others of the group may have gone further, which changes nothing: there is nothing new.
                return []
            positions = [event.position for event in events]
            with self._lane.write() as connection:
                moved = self._say.move(connection, self._mine | {"begin": begin, "end": positions[-1]}).rowcount
                if moved:
                    lease = self._lend(connection, positions, (self._me, 1, time.time() + self._ack_wait))
            self._position = positions[-1] if moved else None
            if moved:
                return [Delivery(event, 1, lease) for event in events]

    def _returned(self, limit: int) -> list[Delivery]:
        """Hand out what was not acknowledged in time, or was held by a consumer that died."""
        self._looked = now = time.time()
        with self._lane.read() as connection:
            lent = self._say.lent(connection, self._mine).fetchall()
        others = {consumer for _, consumer, until in lent if until > now and consumer not in ("", self._me)}
        gone = {consumer for consumer in others if is_gone(consumer)}
        self._due = min((until for _, _, until in lent), default=now + self._look_again)
        for lease, consumer, until in lent:
            if until <= now or consumer in gone:
                found = self._take_over(lease, until, limit)
                if found:
                    return found
        return []

    def _take_over(self, lease: str, until: float, limit: int) -> list[Delivery]:
        with self._lane.write() as connection:
            self._lock(connection)
            row = self._say.lease(connection, self._mine | {"lease": lease, "until": until}).fetchone()
            if row is None:  # acknowledged, extended or taken by another meanwhile
                return []
            attempt, positions = int(row[0]) + 1, json.loads(row[1])
            last = attempt >= self._attempts
            if attempt > self._attempts:
                self._keep(connection, lease, [])
                events = self._rows.at(connection, self.stream, positions)
                lost = [Delivery(event, attempt - 1, lease) for event in events]
                self._bury(connection, lost, f"not acknowledged in {self._attempts} attempts")
                found: list[Delivery] = []
            else:
                # The last chance is had alone: an event that kills its consumer takes no other with it.
                chosen = positions[: 1 if last else limit]
                self._keep(connection, lease, positions[len(chosen) :])
                taken = self._lend(connection, chosen, (self._me, attempt, time.time() + self._ack_wait))
                events = self._rows.at(connection, self.stream, chosen)
                found = [Delivery(event, attempt, taken) for event in events]
        if attempt > self._attempts:
            self._bell.ring(self.stream + DEAD)
        return found

    def _lend(self, connection: Connection, positions: Sequence[int], terms: tuple[str, int, float]) -> str:
        lease = secrets.token_hex(16)
        consumer, attempt, until = terms
        row = {"id": lease, "stream": self.stream, "consumers": self.name, "consumer": consumer}
        self._say.lend(connection, row | {"attempt": attempt, "until": until, "positions": json.dumps(positions)})
        return lease

    def _remove(self, connection: Connection, deliveries: Iterable[Delivery]) -> int:
        """Return how many of these deliveries were still open, once they are not."""
        by_lease: dict[str, set[int]] = {}
        for delivery in deliveries:
            by_lease.setdefault(delivery.lease, set()).add(delivery.event.position)
        self._lock(connection)
        removed = 0
        for lease, done in by_lease.items():
            row = self._say.held(connection, self._mine | {"lease": lease}).fetchone()
            held = json.loads(row[0]) if row else []
            left = [position for position in held if position not in done]
            removed += len(held) - len(left)
            if len(left) < len(held):
                self._keep(connection, lease, left)
        return removed

    def _keep(self, connection: Connection, lease: str, positions: Sequence[int]) -> None:
        if positions:
            self._say.keep(connection, self._mine | {"lease": lease, "positions": json.dumps(positions)})
        else:
            self._say.drop(connection, self._mine | {"lease": lease})

    def _bury(self, connection: Connection, deliveries: Iterable[Delivery], reason: str) -> None:
        stream, now = self.stream + DEAD, time.time()
        letters = [dead_letter(self.name, delivery, reason) for delivery in deliveries]
        self._rows.lock_stream(connection, stream)
        self._rows.insert(connection, stream, [_row(stream, letter, now) for letter in letters])

    def _lock(self, connection: Connection) -> None:
        if not self._rows.sqlite:  # there, one transaction at a time writes anyway
            self._say.lock(connection, self._mine)


class _Statements:
    """What a group says to the database, compiled once."""

    def __init__(self, store: Store) -> None:
        bind, prepare = sql.bindparam, store.prepare
        this = (_GROUPS.c.stream == bind("stream"), _GROUPS.c.name == bind("name"))
        ours = (_OPEN.c.stream == bind("stream"), _OPEN.c.consumers == bind("name"))
        one = sql.and_(*ours, _OPEN.c.id == bind("lease"))
        position = sql.select(_GROUPS.c.position).where(*this)
        self.position, self.lock = prepare(position), prepare(position.with_for_update())
        moved = sql.update(_GROUPS).where(*this, _GROUPS.c.position == bind("begin"))
        self.move = prepare(moved.values(position=bind("end")))
        self.lend = prepare(sql.insert(_OPEN).values({column.name: bind(column.name) for column in _OPEN.columns}))
        self.lent = prepare(
            sql.select(_OPEN.c.id, _OPEN.c.consumer, _OPEN.c.until).where(*ours).order_by(_OPEN.c.until)
        )
        seen = sql.select(_OPEN.c.attempt, _OPEN.c.positions).where(one, _OPEN.c.until == bind("until"))
        self.lease = prepare(seen)
        self.held = prepare(sql.select(_OPEN.c.positions).where(one))
        self.keep = prepare(sql.update(_OPEN).where(one).values(positions=bind("positions")))
        self.drop = prepare(sql.delete(_OPEN).where(one))
        self.extend = prepare(sql.update(_OPEN).where(one).values(until=bind("until")))
        freed = sql.update(_OPEN).where(*ours, _OPEN.c.consumer == bind("consumer"))
        self.release = prepare(freed.values(until=bind("until")))
        events = schema.events
        new = sql.select(sql.func.count()).where(
            events.c.stream == bind("of"), events.c.position > position.scalar_subquery()
        )
        self.waiting = prepare(new)
        self.handed_out = prepare(sql.select(_OPEN.c.positions).where(*ours))


def _row(stream: str, event: Event, recorded: float) -> tuple[Any, ...]:
    when = event.time.timestamp()
    return (stream, event.id, event.type, event.source, event.subject, when, recorded, data_text(event))

"""Engines, runs, events, states and reports."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from gemel.infra.store.schema._metadata import Position, metadata

engines = Table(
    "engines",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("lease_until", Double, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("twin", String(200), nullable=False),
    Column("graph", String(200), nullable=False),
    Column("state", String(20), nullable=False),
    Column("signature", String(64), nullable=False),
    Column("document", Text, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Column("engine", String(40), nullable=False),
    Column("cause", String(300), unique=True),
    Column("cancel", Boolean, nullable=False, default=False),
    Column("error", Text),
    Column("checks", Text),
    Index("runs_by_twin", "twin", "created"),
    Index("runs_by_state", "state"),
)

steps = Table(
    "steps",
    metadata,
    Column("run", String(40), primary_key=True),
    Column("node", String(300), primary_key=True),
    Column("process", String(200), nullable=False),
    Column("state", String(20), nullable=False),
    Column("key", String(64)),
    Column("cached", Boolean, nullable=False, default=False),
    Column("attempts", Integer, nullable=False, default=1),
    Column("started", Double),
    Column("seconds", Double),
    Column("ingredients", Text),
    Column("error", Text),
    Index("steps_by_key", "key"),
    sqlite_with_rowid=False,  # one tree fewer to write per step
)

results = Table(
    "results",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("format", String(20), nullable=False),
    Column("unit", String(80)),
    Column("size", BigInteger, nullable=False),
    Column("inline", LargeBinary),
    Column("created", Double, nullable=False),
)

outputs = Table(
    "outputs",
    metadata,
    Column("run", String(40), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("key", String(64), nullable=False),
    Column("format", String(20), nullable=False),
    Column("unit", String(80)),
)

logs = Table(
    "logs",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=True),
    Column("run", String(40), nullable=False),
    Column("node", String(300), nullable=False),
    Column("time", Double, nullable=False),
    Column("level", String(10), nullable=False),
    Column("message", Text, nullable=False),
    Index("logs_by_run", "run", "position"),
)

events = Table(
    "events",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=True),
    Column("stream", String(300), nullable=False),
    Column("id", String(200), nullable=False),
    Column("type", String(200), nullable=False),
    Column("source", String(300), nullable=False),
    Column("subject", String(300)),
    Column("time", Double, nullable=False),
    Column("recorded", Double, nullable=False),
    Column("data", Text, nullable=False),
    UniqueConstraint("stream", "id", name="events_once"),
    Index("events_by_stream", "stream", "position"),
    # A position is never used twice, even after the newest events were removed: runs are tied to it.
    sqlite_autoincrement=True,
)

event_streams = Table(
    "event_streams",
    metadata,
    Column("stream", String(300), primary_key=True),
    Column("limit_events", BigInteger),
    Column("limit_bytes", BigInteger),
    # Counted only for streams that have bounds; the others have no row here.
    Column("events", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

event_groups = Table(
    "event_groups",
    metadata,
    Column("stream", String(300), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("ack_wait", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created", Double, nullable=False),
)

# One row for all events handed out together: what a group costs per event is a number in a text.
event_deliveries = Table(
    "event_deliveries",
    metadata,
    Column("stream", String(300), primary_key=True),
    Column("consumers", String(200), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("consumer", String(300), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("until", Double, nullable=False),
    Column("positions", Text, nullable=False),
    sqlite_with_rowid=False,
)

states = Table(
    "states",
    metadata,
    Column("twin", String(200), primary_key=True),
    Column("sequence", Position, primary_key=True, autoincrement=False),
    Column("valid", Double, nullable=False),
    Column("known", Double, nullable=False),
    Column("run", String(40), nullable=False),
    Column("cause", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
    Column("source", String(300)),
    Column("uncertainty", Text),
    Index("states_by_valid", "twin", "valid"),
)

reports = Table(
    "reports",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("twin", String(200), nullable=False),
    Column("version", String(40), nullable=False),
    Column("content", String(64), nullable=False),
    Column("run", String(40)),
    Column("created", Double, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Index("reports_by_twin", "twin", "created"),
)

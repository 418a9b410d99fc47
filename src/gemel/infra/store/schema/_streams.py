"""What live twins need: duties of engines, memories of sources, triggers, functions, training buffers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from gemel.infra.store.schema._metadata import metadata

duties = Table(
    "duties",
    metadata,
    Column("name", String(300), primary_key=True),
    Column("engine", String(40), nullable=False),
    Column("taken", Double, nullable=False),
)

source_memories = Table(
    "source_memories",
    metadata,
    Column("twin", String(200), primary_key=True),
    Column("source", String(200), primary_key=True),
    Column("document", Text, nullable=False),
)

# Triggers that were added while the engine ran; those of a twin's package stand in its twin.toml.
triggers = Table(
    "triggers",
    metadata,
    Column("twin", String(200), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("document", Text, nullable=False),
    Column("created", Double, nullable=False),
)

trigger_marks = Table(
    "trigger_marks",
    metadata,
    Column("twin", String(200), primary_key=True),
    Column("trigger", String(200), primary_key=True),
    Column("document", Text, nullable=False),
)

functions = Table(
    "functions",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("document", Text, nullable=False),
    Column("token", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("changed", Double, nullable=False),
)

function_calls = Table(
    "function_calls",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("function", String(200), nullable=False),
    Column("cause", String(300), nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due", Double, nullable=False),
    Column("engine", String(40)),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Column("input", LargeBinary, nullable=False),
    Column("output", LargeBinary),
    Column("error", Text),
    Column("log", Text),
    UniqueConstraint("function", "cause", name="calls_once"),
    Index("calls_by_state", "function", "state", "due"),
)

buffer_batches = Table(
    "buffer_batches",
    metadata,
    Column("twin", String(200), primary_key=True),
    Column("buffer", String(200), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("state", String(20), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("statistics", Text, nullable=False),
    Column("run", String(40)),
    Column("created", Double, nullable=False),
    Column("ended", Double),
)

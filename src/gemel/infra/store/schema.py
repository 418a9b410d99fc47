"""Tables of the journal. Instants are seconds since 1970-01-01 UTC (double); documents are JSON text."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers rows by itself only when the key is spelled INTEGER.
_Position = BigInteger().with_variant(Integer, "sqlite")

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
    Column("position", _Position, primary_key=True, autoincrement=True),
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
    Column("position", _Position, primary_key=True, autoincrement=True),
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

states = Table(
    "states",
    metadata,
    Column("twin", String(200), primary_key=True),
    Column("sequence", _Position, primary_key=True, autoincrement=False),
    Column("valid", Double, nullable=False),
    Column("known", Double, nullable=False),
    Column("run", String(40), nullable=False),
    Column("cause", BigInteger, nullable=False),
    Column("document", Text, nullable=False),
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

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("title", Text),
    Column("description", Text),
    Column("process", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("run", String(40)),
    Index("jobs_by_owner", "owner", "id"),
)

stored_processes = Table(
    "stored_processes",
    metadata,
    Column("owner", String(200), primary_key=True),
    Column("id", String(200), primary_key=True),
    Column("process", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

services = Table(
    "services",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("type", String(40), nullable=False),
    Column("title", Text),
    Column("description", Text),
    Column("process", Text, nullable=False),
    Column("configuration", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("run", String(40)),
    Index("services_by_owner", "owner", "id"),
)

storages = Table(
    "storages",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("kind", String(60), nullable=False),
    Column("options", Text, nullable=False),
    Column("created", Double, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("scope", String(60), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("state", String(20), nullable=False),
    Column("size", BigInteger),
    Column("licence", Text),
    Column("expires", Double),
    Column("metadata", Text, nullable=False),
    Column("created", Double, nullable=False),
)

dataset_digests = Table(
    "dataset_digests",
    metadata,
    Column("scope", String(60), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("algorithm", String(20), primary_key=True),
    Column("value", String(130), nullable=False),
    Column("origin", String(20), nullable=False),
)

dataset_members = Table(
    "dataset_members",
    metadata,
    Column("scope", String(60), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("member_scope", String(60), primary_key=True),
    Column("member_name", String(200), primary_key=True),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("scope", String(60), nullable=False),
    Column("name", String(200), nullable=False),
    Column("storage", String(60), nullable=False),
    Column("path", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("touched", Double, nullable=False),
    Column("verified", Double),
    Index("replicas_by_dataset", "scope", "name"),
    Index("replicas_by_state", "state"),
)

stac_collections = Table(
    "stac_collections",
    metadata,
    Column("id", String(300), primary_key=True),
    # Tells one state of a collection that the lake keeps as files from another; empty when it was put here by hand.
    Column("origin", String(200), nullable=False),
    Column("document", Text, nullable=False),
    Column("updated", Double, nullable=False),
)

stac_items = Table(
    "stac_items",
    metadata,
    Column("number", _Position, primary_key=True, autoincrement=True),
    Column("collection", String(300), nullable=False),
    Column("id", String(300), nullable=False),
    Column("begin", Double, nullable=False),
    Column("ending", Double, nullable=False),
    # Degrees; east is never less than west, and above 180 across the antimeridian. Null without a geometry.
    Column("west", Double),
    Column("south", Double),
    Column("east", Double),
    Column("north", Double),
    Column("document", Text, nullable=False),
    Column("updated", Double, nullable=False),
    UniqueConstraint("collection", "id", name="stac_items_once"),
    Index("stac_items_by_id", "id"),
    # A search by time and place is answered, and its hits are counted, without reading a document.
    Index("stac_items_by_time", "begin", "ending", "number", "collection", "west", "south", "east", "north"),
    Index("stac_items_by_collection", "collection", "begin", "ending", "number", "west", "south", "east", "north"),
)

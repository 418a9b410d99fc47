"""The data lake: storages, datasets, transfers, rules."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, String, Table, Text

from gemel.infra.store.schema._metadata import Position, metadata

storages = Table(
    "storages",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("kind", String(60), nullable=False),
    Column("options", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("site", String(60)),
    Column("tags", Text, nullable=False, server_default="[]"),
    Column("quota", BigInteger),
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
    # When a reading of other bytes than those it was told of agreed with it.
    Column("confirmed", Double),
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
    Column("used", Double),
    Index("replicas_by_dataset", "scope", "name"),
    Index("replicas_by_state", "state"),
)

token_profiles = Table(
    "token_profiles",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("kind", String(60), nullable=False),
    Column("options", Text, nullable=False),
    Column("created", Double, nullable=False),
)

# Refresh tokens that were given in exchange for those declared; sealed with a key that lies beside the journal.
token_secrets = Table(
    "token_secrets",
    metadata,
    Column("profile", String(60), primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("updated", Double, nullable=False),
)

transfers = Table(
    "transfers",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("scope", String(60), nullable=False),
    Column("name", String(200), nullable=False),
    Column("storage", String(60), nullable=False),
    # Whether other replicas go once this one is there: a move.
    Column("only", Boolean, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("cause", String(60), nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    # Not before this instant is it tried (again).
    Column("due", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("worker", String(80)),
    Column("lease_until", Double),
    Column("cancel", Boolean, nullable=False),
    Column("source", String(60)),
    Column("way", String(20)),
    Column("reason", Text),
    Column("size", BigInteger),
    Column("moved", BigInteger, nullable=False),
    Column("replica", String(40)),
    Column("error", Text),
    Index("transfers_by_state", "state", "due"),
    Index("transfers_by_dataset", "scope", "name", "storage"),
)

rules = Table(
    "rules",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("scope", String(60), nullable=False),
    Column("name", String(200), nullable=False),
    Column("copies", Integer, nullable=False),
    Column("places", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("state", String(20), nullable=False),
    Column("reason", Text),
    Index("rules_by_dataset", "scope", "name"),
)

# What happened to datasets, written in the transaction that made it happen; the event log takes it from here.
lake_events = Table(
    "lake_events",
    metadata,
    Column("number", Position, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("type", String(40), nullable=False),
    Column("scope", String(60), nullable=False),
    Column("name", String(200), nullable=False),
    Column("storage", String(60)),
    Column("time", Double, nullable=False),
    Column("document", Text, nullable=False),
    Index("lake_events_by_dataset", "scope", "name"),
)

watches = Table(
    "watches",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("storage", String(60), nullable=False),
    Column("prefix", Text, nullable=False),
    Column("scope", String(60), nullable=False),
    Column("options", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("scanned", Double),
    Column("problem", Text),
)

watched_files = Table(
    "watched_files",
    metadata,
    Column("watch", String(40), primary_key=True),
    Column("path", String(1000), primary_key=True),
    Column("version", String(200), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("seen", Double, nullable=False),
    Column("name", String(200)),
)

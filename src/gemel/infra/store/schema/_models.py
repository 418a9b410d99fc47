"""Models: their versions, what was live from when to when, and how they were judged."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, String, Table, Text, UniqueConstraint

from gemel.infra.store.schema._metadata import metadata

model_versions = Table(
    "model_versions",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("content", String(64), nullable=False),
    Column("size", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Column("run", String(40)),
    Column("note", Text, nullable=False),
    Column("created", Double, nullable=False),
    UniqueConstraint("name", "digest", name="model_versions_by_digest"),
)

# One row for each time that an alias was given; the row without an end is the one that holds.
model_aliases = Table(
    "model_aliases",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("name", String(200), nullable=False),
    Column("alias", String(40), nullable=False),
    Column("version", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double),
    Column("verb", String(20), nullable=False),
    Column("why", Text, nullable=False),
    Column("judgement", String(40)),
    Index("model_aliases_by_name", "name", "alias", "until"),
)

model_judgements = Table(
    "model_judgements",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("version", Integer, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("document", Text, nullable=False),
    Column("run", String(40)),
    Column("created", Double, nullable=False),
    Index("model_judgements_by_version", "name", "version", "created"),
)

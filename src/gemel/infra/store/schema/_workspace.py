"""What people keep: jobs, stored processes, services."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, String, Table, Text

from gemel.infra.store.schema._metadata import metadata

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

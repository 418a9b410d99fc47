"""STAC Collections and Items."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, String, Table, Text, UniqueConstraint

from gemel.infra.store.schema._metadata import Position, metadata

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
    Column("number", Position, primary_key=True, autoincrement=True),
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

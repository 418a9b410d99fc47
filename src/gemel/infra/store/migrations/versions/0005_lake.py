"""The data lake, second part: tokens, transfers, rules, events, watches.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_Position = sql.BigInteger().with_variant(sql.Integer, "sqlite")
_NEW = ("token_profiles", "token_secrets", "transfers", "rules", "lake_events", "watches", "watched_files")


def upgrade() -> None:
    """Create the tables and columns."""
    op.add_column("storages", sql.Column("site", sql.String(60)))
    op.add_column("storages", sql.Column("tags", sql.Text(), nullable=False, server_default="[]"))
    op.add_column("storages", sql.Column("quota", sql.BigInteger()))
    op.add_column("dataset_digests", sql.Column("confirmed", sql.Double()))
    op.add_column("replicas", sql.Column("used", sql.Double()))
    for create in (_tokens, _transfers, _rules, _events, _watches):
        create()


def _tokens() -> None:
    op.create_table(
        "token_profiles",
        sql.Column("name", sql.String(60), primary_key=True),
        sql.Column("kind", sql.String(60), nullable=False),
        sql.Column("options", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
    )
    op.create_table(
        "token_secrets",
        sql.Column("profile", sql.String(60), primary_key=True),
        sql.Column("sealed", sql.Text(), nullable=False),
        sql.Column("updated", sql.Double(), nullable=False),
    )


def _transfers() -> None:
    op.create_table(
        "transfers",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("scope", sql.String(60), nullable=False),
        sql.Column("name", sql.String(200), nullable=False),
        sql.Column("storage", sql.String(60), nullable=False),
        sql.Column("only", sql.Boolean(), nullable=False),
        sql.Column("priority", sql.Integer(), nullable=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("cause", sql.String(60), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("started", sql.Double()),
        sql.Column("ended", sql.Double()),
        sql.Column("due", sql.Double(), nullable=False),
        sql.Column("attempts", sql.Integer(), nullable=False),
        sql.Column("worker", sql.String(80)),
        sql.Column("lease_until", sql.Double()),
        sql.Column("cancel", sql.Boolean(), nullable=False),
        sql.Column("source", sql.String(60)),
        sql.Column("way", sql.String(20)),
        sql.Column("reason", sql.Text()),
        sql.Column("size", sql.BigInteger()),
        sql.Column("moved", sql.BigInteger(), nullable=False),
        sql.Column("replica", sql.String(40)),
        sql.Column("error", sql.Text()),
    )
    op.create_index("transfers_by_state", "transfers", ["state", "due"])
    op.create_index("transfers_by_dataset", "transfers", ["scope", "name", "storage"])


def _rules() -> None:
    op.create_table(
        "rules",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("scope", sql.String(60), nullable=False),
        sql.Column("name", sql.String(200), nullable=False),
        sql.Column("copies", sql.Integer(), nullable=False),
        sql.Column("places", sql.Text(), nullable=False),
        sql.Column("priority", sql.Integer(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("expires", sql.Double()),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("reason", sql.Text()),
    )
    op.create_index("rules_by_dataset", "rules", ["scope", "name"])


def _events() -> None:
    op.create_table(
        "lake_events",
        sql.Column("number", _Position, primary_key=True, autoincrement=True),
        sql.Column("id", sql.String(40), nullable=False, unique=True),
        sql.Column("type", sql.String(40), nullable=False),
        sql.Column("scope", sql.String(60), nullable=False),
        sql.Column("name", sql.String(200), nullable=False),
        sql.Column("storage", sql.String(60)),
        sql.Column("time", sql.Double(), nullable=False),
        sql.Column("document", sql.Text(), nullable=False),
    )
    op.create_index("lake_events_by_dataset", "lake_events", ["scope", "name"])


def _watches() -> None:
    op.create_table(
        "watches",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("storage", sql.String(60), nullable=False),
        sql.Column("prefix", sql.Text(), nullable=False),
        sql.Column("scope", sql.String(60), nullable=False),
        sql.Column("options", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("scanned", sql.Double()),
        sql.Column("problem", sql.Text()),
    )
    op.create_table(
        "watched_files",
        sql.Column("watch", sql.String(40), primary_key=True),
        sql.Column("path", sql.String(1000), primary_key=True),
        sql.Column("version", sql.String(200), primary_key=True),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("seen", sql.Double(), nullable=False),
        sql.Column("name", sql.String(200)),
    )


def downgrade() -> None:
    """Remove them."""
    for table in _NEW:
        op.drop_table(table)
    for table, column in (("replicas", "used"), ("dataset_digests", "confirmed")):
        op.drop_column(table, column)
    for column in ("quota", "tags", "site"):
        op.drop_column("storages", column)

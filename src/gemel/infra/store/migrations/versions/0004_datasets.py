"""The data lake: storages, datasets, their digests, members and replicas.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "storages",
        sql.Column("name", sql.String(60), primary_key=True),
        sql.Column("kind", sql.String(60), nullable=False),
        sql.Column("options", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
    )
    op.create_table(
        "datasets",
        sql.Column("scope", sql.String(60), primary_key=True),
        sql.Column("name", sql.String(200), primary_key=True),
        sql.Column("kind", sql.String(10), nullable=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("size", sql.BigInteger()),
        sql.Column("licence", sql.Text()),
        sql.Column("expires", sql.Double()),
        sql.Column("metadata", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
    )
    op.create_table(
        "dataset_digests",
        sql.Column("scope", sql.String(60), primary_key=True),
        sql.Column("name", sql.String(200), primary_key=True),
        sql.Column("algorithm", sql.String(20), primary_key=True),
        sql.Column("value", sql.String(130), nullable=False),
        sql.Column("origin", sql.String(20), nullable=False),
    )
    op.create_table(
        "dataset_members",
        sql.Column("scope", sql.String(60), primary_key=True),
        sql.Column("name", sql.String(200), primary_key=True),
        sql.Column("member_scope", sql.String(60), primary_key=True),
        sql.Column("member_name", sql.String(200), primary_key=True),
    )
    _replicas()


def _replicas() -> None:
    op.create_table(
        "replicas",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("scope", sql.String(60), nullable=False),
        sql.Column("name", sql.String(200), nullable=False),
        sql.Column("storage", sql.String(60), nullable=False),
        sql.Column("path", sql.Text(), nullable=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("touched", sql.Double(), nullable=False),
        sql.Column("verified", sql.Double()),
    )
    op.create_index("replicas_by_dataset", "replicas", ["scope", "name"])
    op.create_index("replicas_by_state", "replicas", ["state"])


def downgrade() -> None:
    """Remove the tables."""
    for table in ("replicas", "dataset_members", "dataset_digests", "datasets", "storages"):
        op.drop_table(table)

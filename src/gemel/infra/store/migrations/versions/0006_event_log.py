"""The event log: bounds of streams, consumer groups, deliveries that wait for their acknowledgement.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "event_streams",
        sql.Column("stream", sql.String(300), primary_key=True),
        sql.Column("limit_events", sql.BigInteger()),
        sql.Column("limit_bytes", sql.BigInteger()),
        sql.Column("events", sql.BigInteger(), nullable=False),
        sql.Column("bytes", sql.BigInteger(), nullable=False),
    )
    op.create_table(
        "event_groups",
        sql.Column("stream", sql.String(300), primary_key=True),
        sql.Column("name", sql.String(200), primary_key=True),
        sql.Column("position", sql.BigInteger(), nullable=False),
        sql.Column("ack_wait", sql.Double(), nullable=False),
        sql.Column("attempts", sql.Integer(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
    )
    op.create_table(
        "event_deliveries",
        sql.Column("stream", sql.String(300), primary_key=True),
        sql.Column("consumers", sql.String(200), primary_key=True),
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("consumer", sql.String(300), nullable=False),
        sql.Column("attempt", sql.Integer(), nullable=False),
        sql.Column("until", sql.Double(), nullable=False),
        sql.Column("positions", sql.Text(), nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Remove them."""
    for table in ("event_deliveries", "event_groups", "event_streams"):
        op.drop_table(table)

"""Live twins: who does what, triggers and their marks, functions and calls, training buffers, states in two times.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and let states say where they come from and how sure they are."""
    _follow()
    _functions()
    op.create_table(
        "buffer_batches",
        sql.Column("twin", sql.String(200), primary_key=True),
        sql.Column("buffer", sql.String(200), primary_key=True),
        sql.Column("number", sql.BigInteger(), primary_key=True, autoincrement=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("first", sql.BigInteger(), nullable=False),
        sql.Column("last", sql.BigInteger(), nullable=False),
        sql.Column("events", sql.BigInteger(), nullable=False),
        sql.Column("digest", sql.String(64), nullable=False),
        sql.Column("reason", sql.String(40), nullable=False),
        sql.Column("statistics", sql.Text(), nullable=False),
        sql.Column("run", sql.String(40)),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("ended", sql.Double()),
    )
    op.add_column("states", sql.Column("source", sql.String(300)))
    op.add_column("states", sql.Column("uncertainty", sql.Text()))
    op.create_index("states_by_valid", "states", ["twin", "valid"])


def _follow() -> None:
    op.create_table(
        "duties",
        sql.Column("name", sql.String(300), primary_key=True),
        sql.Column("engine", sql.String(40), nullable=False),
        sql.Column("taken", sql.Double(), nullable=False),
    )
    op.create_table(
        "source_memories",
        sql.Column("twin", sql.String(200), primary_key=True),
        sql.Column("source", sql.String(200), primary_key=True),
        sql.Column("document", sql.Text(), nullable=False),
    )
    op.create_table(
        "triggers",
        sql.Column("twin", sql.String(200), primary_key=True),
        sql.Column("name", sql.String(200), primary_key=True),
        sql.Column("document", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
    )
    op.create_table(
        "trigger_marks",
        sql.Column("twin", sql.String(200), primary_key=True),
        sql.Column("trigger", sql.String(200), primary_key=True),
        sql.Column("document", sql.Text(), nullable=False),
    )


def _functions() -> None:
    op.create_table(
        "functions",
        sql.Column("name", sql.String(200), primary_key=True),
        sql.Column("document", sql.Text(), nullable=False),
        sql.Column("token", sql.String(64), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("changed", sql.Double(), nullable=False),
    )
    op.create_table(
        "function_calls",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("function", sql.String(200), nullable=False),
        sql.Column("cause", sql.String(300), nullable=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("attempts", sql.Integer(), nullable=False),
        sql.Column("due", sql.Double(), nullable=False),
        sql.Column("engine", sql.String(40)),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("started", sql.Double()),
        sql.Column("ended", sql.Double()),
        sql.Column("input", sql.LargeBinary(), nullable=False),
        sql.Column("output", sql.LargeBinary()),
        sql.Column("error", sql.Text()),
        sql.Column("log", sql.Text()),
        sql.UniqueConstraint("function", "cause", name="calls_once"),
    )
    op.create_index("calls_by_state", "function_calls", ["function", "state", "due"])


def downgrade() -> None:
    """Remove them."""
    op.drop_index("states_by_valid", "states")
    op.drop_column("states", "uncertainty")
    op.drop_column("states", "source")
    tables = ("buffer_batches", "function_calls", "functions", "trigger_marks", "triggers", "source_memories", "duties")
    for table in tables:
        op.drop_table(table)

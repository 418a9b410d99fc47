"""What people keep on an engine: jobs, stored processes, services.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "jobs",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("owner", sql.String(200), nullable=False),
        sql.Column("title", sql.Text()),
        sql.Column("description", sql.Text()),
        sql.Column("process", sql.Text(), nullable=False),
        sql.Column("settings", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("updated", sql.Double(), nullable=False),
        sql.Column("run", sql.String(40)),
    )
    op.create_index("jobs_by_owner", "jobs", ["owner", "id"])
    op.create_table(
        "stored_processes",
        sql.Column("owner", sql.String(200), primary_key=True),
        sql.Column("id", sql.String(200), primary_key=True),
        sql.Column("process", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("updated", sql.Double(), nullable=False),
    )
    op.create_table(
        "services",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("owner", sql.String(200), nullable=False),
        sql.Column("type", sql.String(40), nullable=False),
        sql.Column("title", sql.Text()),
        sql.Column("description", sql.Text()),
        sql.Column("process", sql.Text(), nullable=False),
        sql.Column("configuration", sql.Text(), nullable=False),
        sql.Column("settings", sql.Text(), nullable=False),
        sql.Column("enabled", sql.Boolean(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("updated", sql.Double(), nullable=False),
        sql.Column("run", sql.String(40)),
    )
    op.create_index("services_by_owner", "services", ["owner", "id"])


def downgrade() -> None:
    """Remove the tables."""
    for table in ("services", "stored_processes", "jobs"):
        op.drop_table(table)

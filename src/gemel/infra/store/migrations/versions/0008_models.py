"""Models: versions, aliases with their times, judgements.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sql
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "model_versions",
        sql.Column("name", sql.String(200), primary_key=True),
        sql.Column("version", sql.Integer(), primary_key=True, autoincrement=False),
        sql.Column("digest", sql.String(64), nullable=False),
        sql.Column("content", sql.String(64), nullable=False),
        sql.Column("size", sql.Integer(), nullable=False),
        sql.Column("document", sql.Text(), nullable=False),
        sql.Column("run", sql.String(40)),
        sql.Column("note", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.UniqueConstraint("name", "digest", name="model_versions_by_digest"),
    )
    op.create_table(
        "model_aliases",
        sql.Column("number", sql.Integer(), primary_key=True, autoincrement=True),
        sql.Column("name", sql.String(200), nullable=False),
        sql.Column("alias", sql.String(40), nullable=False),
        sql.Column("version", sql.Integer(), nullable=False),
        sql.Column("since", sql.Double(), nullable=False),
        sql.Column("until", sql.Double()),
        sql.Column("verb", sql.String(20), nullable=False),
        sql.Column("why", sql.Text(), nullable=False),
        sql.Column("judgement", sql.String(40)),
    )
    op.create_index("model_aliases_by_name", "model_aliases", ["name", "alias", "until"])
    op.create_table(
        "model_judgements",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("name", sql.String(200), nullable=False),
        sql.Column("version", sql.Integer(), nullable=False),
        sql.Column("passed", sql.Boolean(), nullable=False),
        sql.Column("document", sql.Text(), nullable=False),
        sql.Column("run", sql.String(40)),
        sql.Column("created", sql.Double(), nullable=False),
    )
    op.create_index("model_judgements_by_version", "model_judgements", ["name", "version", "created"])


def downgrade() -> None:
    """Remove the three tables."""
    for name in ("model_judgements", "model_aliases", "model_versions"):
        op.drop_table(name)

"""STAC Collections and Items. Indexes of boxes are made by the catalogue itself, in what each database has for them."""

import sqlalchemy as sql
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# SQLite numbers rows by itself only when the key is spelled INTEGER.
_POSITION = sql.BigInteger().with_variant(sql.Integer(), "sqlite")
_BOX = ["west", "south", "east", "north"]


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "stac_collections",
        sql.Column("id", sql.String(300), primary_key=True),
        sql.Column("origin", sql.String(200), nullable=False),
        sql.Column("document", sql.Text(), nullable=False),
        sql.Column("updated", sql.Double(), nullable=False),
    )
    op.create_table(
        "stac_items",
        sql.Column("number", _POSITION, primary_key=True, autoincrement=True),
        sql.Column("collection", sql.String(300), nullable=False),
        sql.Column("id", sql.String(300), nullable=False),
        sql.Column("begin", sql.Double(), nullable=False),
        sql.Column("ending", sql.Double(), nullable=False),
        *(sql.Column(name, sql.Double()) for name in _BOX),
        sql.Column("document", sql.Text(), nullable=False),
        sql.Column("updated", sql.Double(), nullable=False),
        sql.UniqueConstraint("collection", "id", name="stac_items_once"),
    )
    op.create_index("stac_items_by_id", "stac_items", ["id"])
    op.create_index("stac_items_by_time", "stac_items", ["begin", "ending", "number", "collection", *_BOX])
    op.create_index("stac_items_by_collection", "stac_items", ["collection", "begin", "ending", "number", *_BOX])


def downgrade() -> None:
    """Remove the tables, with the index of boxes that stands in a table of its own on SQLite."""
    op.drop_table("stac_items")
    op.drop_table("stac_collections")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE IF EXISTS stac_boxes")

"""The journal as first released; frozen: later versions of the schema are revisions of their own."""

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None

# SQLite numbers rows by itself only when the key is spelled INTEGER.
_POSITION = sql.BigInteger().with_variant(sql.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table of the first schema."""
    _runs()
    _results()
    _events_and_states()


def downgrade() -> None:
    """Drop every table."""
    for table in ["engines", "events", "logs", "outputs", "reports", "results", "runs", "states", "steps"]:
        op.drop_table(table)


def _runs() -> None:
    op.create_table(
        "engines",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("host", sql.String(255), nullable=False),
        sql.Column("pid", sql.Integer(), nullable=False),
        sql.Column("started", sql.Double(), nullable=False),
        sql.Column("lease_until", sql.Double(), nullable=False),
    )
    op.create_table(
        "runs",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("twin", sql.String(200), nullable=False),
        sql.Column("graph", sql.String(200), nullable=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("signature", sql.String(64), nullable=False),
        sql.Column("document", sql.Text(), nullable=False),
        sql.Column("arguments", sql.Text(), nullable=False),
        sql.Column("environment", sql.Text(), nullable=False),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("started", sql.Double()),
        sql.Column("ended", sql.Double()),
        sql.Column("engine", sql.String(40), nullable=False),
        sql.Column("cause", sql.String(300), unique=True),
        sql.Column("cancel", sql.Boolean(), nullable=False),
        sql.Column("error", sql.Text()),
        sql.Column("checks", sql.Text()),
    )
    op.create_index("runs_by_state", "runs", ["state"])
    op.create_index("runs_by_twin", "runs", ["twin", "created"])
    op.create_table(
        "steps",
        sql.Column("run", sql.String(40), primary_key=True),
        sql.Column("node", sql.String(300), primary_key=True),
        sql.Column("process", sql.String(200), nullable=False),
        sql.Column("state", sql.String(20), nullable=False),
        sql.Column("key", sql.String(64)),
        sql.Column("cached", sql.Boolean(), nullable=False),
        sql.Column("attempts", sql.Integer(), nullable=False),
        sql.Column("started", sql.Double()),
        sql.Column("seconds", sql.Double()),
        sql.Column("ingredients", sql.Text()),
        sql.Column("error", sql.Text()),
        sqlite_with_rowid=False,
    )


def _results() -> None:
    op.create_table(
        "results",
        sql.Column("key", sql.String(64), primary_key=True),
        sql.Column("digest", sql.String(64), nullable=False),
        sql.Column("format", sql.String(20), nullable=False),
        sql.Column("unit", sql.String(80)),
        sql.Column("size", sql.BigInteger(), nullable=False),
        sql.Column("inline", sql.LargeBinary()),
        sql.Column("created", sql.Double(), nullable=False),
    )
    op.create_table(
        "outputs",
        sql.Column("run", sql.String(40), primary_key=True),
        sql.Column("name", sql.String(200), primary_key=True),
        sql.Column("position", sql.Integer(), nullable=False),
        sql.Column("key", sql.String(64), nullable=False),
        sql.Column("format", sql.String(20), nullable=False),
        sql.Column("unit", sql.String(80)),
    )
    op.create_table(
        "logs",
        sql.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sql.Column("run", sql.String(40), nullable=False),
        sql.Column("node", sql.String(300), nullable=False),
        sql.Column("time", sql.Double(), nullable=False),
        sql.Column("level", sql.String(10), nullable=False),
        sql.Column("message", sql.Text(), nullable=False),
    )
    op.create_index("steps_by_key", "steps", ["key"])
    op.create_index("logs_by_run", "logs", ["run", "position"])


def _events_and_states() -> None:
    op.create_table(
        "events",
        sql.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sql.Column("stream", sql.String(300), nullable=False),
        sql.Column("id", sql.String(200), nullable=False),
        sql.Column("type", sql.String(200), nullable=False),
        sql.Column("source", sql.String(300), nullable=False),
        sql.Column("subject", sql.String(300)),
        sql.Column("time", sql.Double(), nullable=False),
        sql.Column("recorded", sql.Double(), nullable=False),
        sql.Column("data", sql.Text(), nullable=False),
        sql.UniqueConstraint("stream", "id", name="events_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_by_stream", "events", ["stream", "position"])
    op.create_table(
        "states",
        sql.Column("twin", sql.String(200), primary_key=True),
        sql.Column("sequence", _POSITION, primary_key=True, autoincrement=False),
        sql.Column("valid", sql.Double(), nullable=False),
        sql.Column("known", sql.Double(), nullable=False),
        sql.Column("run", sql.String(40), nullable=False),
        sql.Column("cause", sql.BigInteger(), nullable=False),
        sql.Column("document", sql.Text(), nullable=False),
    )
    op.create_table(
        "reports",
        sql.Column("id", sql.String(40), primary_key=True),
        sql.Column("twin", sql.String(200), nullable=False),
        sql.Column("version", sql.String(40), nullable=False),
        sql.Column("content", sql.String(64), nullable=False),
        sql.Column("run", sql.String(40)),
        sql.Column("created", sql.Double(), nullable=False),
        sql.Column("passed", sql.Boolean(), nullable=False),
        sql.Column("document", sql.Text(), nullable=False),
    )
    op.create_index("reports_by_twin", "reports", ["twin", "created"])

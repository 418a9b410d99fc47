"""The journal as first released."""

from alembic import op

from gemel.infra.store.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table of the first schema."""
    metadata.create_all(op.get_bind(), checkfirst=False)


def downgrade() -> None:
    """Drop every table."""
    metadata.drop_all(op.get_bind())

"""Alembic environment: runs on the connection, and inside the transaction, that the store hands over."""

from alembic import context

from gemel.infra.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()

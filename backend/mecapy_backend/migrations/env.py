"""Alembic's entry. Only `mecapy_backend.migrations.upgrade` calls it, with an open connection."""

from alembic import context

from mecapy_backend.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

"""Alembic's entry. Only `mecapy_backend.migrations` calls it, with an open connection."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo

from mecapy_backend.store.tables import metadata


def note(ctx: MigrationContext, step: MigrationInfo, heads: Collection[str], **_: Any) -> None:
    """Record for `health_probes`, in the migration's transaction, which programs the tables serve
    now.
    """
    for head in heads:
        migration: Any = step.revision_map.get_revision(head)
        serves = getattr(migration.module, "serves", head)
        ctx.impl.execute(sa.text(f"COMMENT ON TABLE alembic_version IS 'serves {serves}'"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,
    literal_binds=context.is_offline_mode(),
    on_version_apply=note,  # pyright: ignore[reportArgumentType]  (called by keyword)
)
with context.begin_transaction():
    context.run_migrations()

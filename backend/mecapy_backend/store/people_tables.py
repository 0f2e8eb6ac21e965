"""The tables of users and organisations; a part of `tables`."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON

from mecapy_backend.store.table_parts import metadata
from mecapy_backend.store.table_parts import time_column as _time


def _share() -> list[sa.Column[object]]:
    """Limits of a user or organisation; NULL: the settings' value."""
    return [
        sa.Column("weight", sa.Float, nullable=False, server_default="1"),
        sa.Column("max_running", sa.Integer),
        sa.Column("max_queued", sa.Integer),
        sa.Column("cpu_hours", sa.Float),  # a month
        sa.Column("quota_bytes", sa.BigInteger),
    ]


organisations = sa.Table(
    "organisations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    *_share(),
    sa.Column("budget", sa.Float),  # euros a day (UTC); NULL: any
    sa.Column("resources", JSON(none_as_null=True)),  # what its tasks ask for that ask for nothing
    _time("created_at", required=True),
)

users = sa.Table(
    "users",
    metadata,
    # What `owner` is elsewhere; fit for a folder's name.
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False, server_default=""),
    sa.Column("email", sa.Text, nullable=False, server_default=""),
    sa.Column("organisation", sa.Text, sa.ForeignKey("organisations.id")),
    sa.Column(
        "role",
        sa.Text,
        sa.CheckConstraint("role IN ('user','manager','admin')", "role"),
        nullable=False,
        server_default="user",
    ),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    *_share(),
    _time("created_at", required=True),
    _time("seen_at", required=True),
    sa.UniqueConstraint("issuer", "subject"),
)
sa.Index("users_organisation", users.c.organisation)

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("owner", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    # The token itself is shown once and never stored.
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("scopes", ARRAY(sa.Text), nullable=False, server_default="{}"),
    _time("created_at", required=True),
    _time("expires_at"),
    _time("used_at"),
    _time("revoked_at"),
)
sa.Index("api_tokens_owner", api_tokens.c.owner)

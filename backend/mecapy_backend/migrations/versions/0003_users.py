"""Organisations, users and their tokens. `local` is the user behind the one token of an embedded
stack.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

revision = "0003"
down_revision = "0002"

_now = sa.text("now()")


def _time(name: str, *, required: bool = False) -> sa.Column[object]:
    return sa.Column(
        name,
        TIMESTAMP(timezone=True),
        nullable=not required,
        server_default=_now if required else None,
    )


def _share() -> list[sa.Column[object]]:
    return [
        sa.Column("weight", sa.Float, nullable=False, server_default="1"),
        sa.Column("max_running", sa.Integer),
        sa.Column("max_queued", sa.Integer),
        sa.Column("cpu_hours", sa.Float),
        sa.Column("quota_bytes", sa.BigInteger),
    ]


def upgrade() -> None:
    op.create_table(
        "organisations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        *_share(),
        _time("created_at", required=True),
        sa.PrimaryKeyConstraint("id", name="organisations_pkey"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False, server_default=""),
        sa.Column("email", sa.Text, nullable=False, server_default=""),
        sa.Column("organisation", sa.Text, sa.ForeignKey("organisations.id")),
        sa.Column("role", sa.Text, nullable=False, server_default="user"),
        sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
        *_share(),
        _time("created_at", required=True),
        _time("seen_at", required=True),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        sa.UniqueConstraint("issuer", "subject", name="users_issuer_subject_key"),
        sa.CheckConstraint("role IN ('user','manager','admin')", name="users_role"),
    )
    op.create_index("users_organisation", "users", ["organisation"])
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("owner", sa.Text, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False, server_default="{}"),
        _time("created_at", required=True),
        _time("expires_at"),
        _time("used_at"),
        _time("revoked_at"),
        sa.PrimaryKeyConstraint("id", name="api_tokens_pkey"),
        sa.UniqueConstraint("digest", name="api_tokens_digest_key"),
    )
    op.create_index("api_tokens_owner", "api_tokens", ["owner"])
    op.execute(
        "INSERT INTO users (id, issuer, subject, role) VALUES ('local', '', 'local', 'admin')"
    )


def downgrade() -> None:
    for table in ("api_tokens", "users", "organisations"):
        op.drop_table(table)

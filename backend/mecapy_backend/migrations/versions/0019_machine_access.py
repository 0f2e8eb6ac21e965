"""The token with which a machine asks for its credentials, once, and what it got."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
serves = "0009"


def upgrade() -> None:
    op.add_column("machines", sa.Column("token_digest", sa.Text))
    op.add_column("machines", sa.Column("token_until", sa.TIMESTAMP(timezone=True)))
    op.add_column("machines", sa.Column("redis_digest", sa.Text, nullable=False, server_default=""))

"""What the body of a workflow was, so that its idempotency key is not taken for another."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
serves = "0009"


def upgrade() -> None:
    op.add_column("workflows", sa.Column("request_digest", sa.LargeBinary))

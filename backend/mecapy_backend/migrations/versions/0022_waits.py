"""How long an owner's tasks waited, in logarithmic buckets: kept when their rows are deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
serves = "0009"


def upgrade() -> None:
    op.create_table(
        "waits",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("bucket", sa.Integer, nullable=False),
        sa.Column("tasks", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "month", "bucket", name="waits_pkey"),
    )

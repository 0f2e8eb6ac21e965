"""How many tasks an owner had: the counts stay when the rows are deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "counts",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("tasks", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "month", "state", name="counts_pkey"),
    )


def downgrade() -> None:
    op.drop_table("counts")

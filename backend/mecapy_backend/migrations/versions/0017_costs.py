"""What tasks cost by month, budgets and default resources of organisations; of a task the size of
its inputs and its last checkpoint.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
serves = "0009"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("input_bytes", sa.BigInteger))
    op.add_column("tasks", sa.Column("checkpoint", sa.Text))
    op.add_column("usage", sa.Column("euros", sa.Float, nullable=False, server_default="0"))
    op.add_column("organisations", sa.Column("budget", sa.Float))
    op.add_column("organisations", sa.Column("resources", sa.JSON))

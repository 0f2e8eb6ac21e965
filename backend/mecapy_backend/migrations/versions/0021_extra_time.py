"""How much longer a task may run than it was submitted with."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
serves = "0009"


def upgrade() -> None:
    op.add_column("tasks", sa.Column("extra_s", sa.Float, nullable=False, server_default="0"))

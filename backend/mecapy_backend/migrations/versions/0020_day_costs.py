"""What each owner's tasks cost on their last day, beside the month."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
serves = "0009"


def upgrade() -> None:
    op.add_column("usage", sa.Column("day", sa.Date))
    op.add_column("usage", sa.Column("day_euros", sa.Float, nullable=False, server_default="0"))

"""When a machine first served: how long a class takes to boot is measured and not only said."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
serves = "0009"


def upgrade() -> None:
    op.add_column("machines", sa.Column("served_at", sa.DateTime(timezone=True)))

"""${message}."""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# The oldest revision whose program can use the tables after this; the newest of the release before,
# or older (tests/operate/previous_release).
serves = ${repr(down_revision)}


def upgrade() -> None:
    ${upgrades or "pass"}

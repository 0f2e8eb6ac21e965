"""The tables of what tasks took and how many there were; a part of `tables`."""

from __future__ import annotations

import sqlalchemy as sa

from mecapy_backend.store.table_parts import metadata

usage = sa.Table(  # what an owner's tasks took; stays when they are forgotten
    "usage",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("month", sa.Date, primary_key=True),
    sa.Column("cpu_s", sa.Float, nullable=False),
    sa.Column("tasks", sa.BigInteger, nullable=False),
    sa.Column("euros", sa.Float, nullable=False, server_default="0"),
    sa.Column("day", sa.Date),  # the last one with a cost
    sa.Column("day_euros", sa.Float, nullable=False, server_default="0"),
)

# the tasks whose rows are gone, by the month they ended in; beside the rows that are left
counts = sa.Table(
    "counts",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("month", sa.Date, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("tasks", sa.BigInteger, nullable=False),
)

# and how long those of them waited that had no parents: `tasks.tally`
waits = sa.Table(
    "waits",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("month", sa.Date, primary_key=True),
    sa.Column("bucket", sa.Integer, primary_key=True),
    sa.Column("tasks", sa.BigInteger, nullable=False),
)

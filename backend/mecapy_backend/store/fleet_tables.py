"""The tables of the fleet; a part of `tables`."""

from __future__ import annotations

import sqlalchemy as sa

from mecapy_backend.store.table_parts import metadata
from mecapy_backend.store.table_parts import time_column as _time
from mecapy_jupyter import wire

machines = sa.Table(  # a row before a provider is asked; never deleted while it may exist
    "machines",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("machine_class", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column(
        "state",
        sa.Text,
        sa.CheckConstraint(
            "state IN ('wanted','booting','serving','draining','stopping','gone')", "state"
        ),
        nullable=False,
    ),
    sa.Column("handle", sa.Text, nullable=False, server_default=""),  # the provider's name of it
    sa.Column("worker", sa.Text),  # whose id it called home with
    sa.Column("why", sa.Text, nullable=False, server_default=""),  # of its state
    sa.Column("price", sa.Float, nullable=False, server_default="0"),  # euros an hour
    sa.Column("billing_s", sa.Integer, nullable=False, server_default="0"),
    _time("created_at", required=True),
    _time("served_at"),  # for the first time
    _time("ended_at"),
    sa.Column("token_digest", sa.Text),  # of the token that it asks for its credentials with, once
    _time("token_until"),
    sa.Column("redis_digest", sa.Text, nullable=False, server_default=""),  # of its user's password
)
sa.Index("machines_alive", machines.c.created_at, postgresql_where=machines.c.state != wire.GONE)
sa.Index("machines_ended", machines.c.ended_at)

fleet = sa.Table(  # one row: the stack's name in tags, and the switch for all of its machines
    "fleet",
    metadata,
    sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("stack", sa.Text, nullable=False),
    sa.Column("stopped", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("swept", sa.Boolean, nullable=False, server_default=sa.false()),
)

"""The two statements of every submission, built once: one inserts the row, the other reports what
prevents that.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from mecapy_backend.store.tables import blobs, tasks
from mecapy_jupyter import wire

_t = tasks.c

_COLUMNS = [
    *("id", "owner", "name", "priority", "request", "request_digest", "idempotency_key"),
    *("digests", "short", "python", "state", "workflow", "cache_key"),
    *("machine_class", "why_there", "code_key", "estimate_s", "input_bytes"),
    *("notify", "notify_at"),
]


def _submit_statement(*, with_blobs: bool, counted: bool) -> sa.Executable:
    def given(name: str) -> sa.BindParameter[object]:
        # A bare column's name would also become a SET of the update below.
        return sa.bindparam(f"new_{name}", type_=_t[name].type)

    waiting = [
        sa.select(sa.func.count()).select_from(
            sa.select(sa.literal(1))
            .where(_t.owner == given("owner"), _t.state == state)
            .limit(sa.bindparam("max_queued", type_=sa.Integer))
            .subquery()
        )
        for state in (wire.QUEUED, wire.BLOCKED)  # each has an index
    ]
    row = sa.select(*[given(name) for name in _COLUMNS])
    if counted:
        queued, blocked = (count.scalar_subquery() for count in waiting)
        row = row.where(queued + blocked < sa.bindparam("max_queued", type_=sa.Integer))
    if with_blobs:  # naming a blob moves its `used_at`, so that a delete on its way spares it
        named = sa.update(blobs).values(used_at=sa.func.clock_timestamp())
        named = (
            named.where(
                blobs.c.owner == given("owner"), blobs.c.digest == sa.any_(given("digests"))
            )
            .returning(blobs.c.digest)
            .cte("named")
        )
        row = row.where(
            sa.select(sa.func.count()).select_from(named).scalar_subquery()
            == sa.func.cardinality(given("digests"))
        )
    return insert(tasks).from_select(_COLUMNS, row).on_conflict_do_nothing().returning(_t.id)


SUBMIT = {
    (with_blobs, counted): _submit_statement(with_blobs=with_blobs, counted=counted)
    for with_blobs in (False, True)
    for counted in (False, True)
}
WHY_NOT = (
    sa.text(
        """SELECT (SELECT count(*) FROM tasks WHERE owner = :owner AND state = 'queued')
                  + (SELECT count(*) FROM tasks WHERE owner = :owner AND state = 'blocked')
                  AS queued,
                  ARRAY(SELECT digest FROM blobs
                        WHERE owner = :owner AND digest = ANY(:digests)) AS stored,
                  old.*
           FROM (SELECT 1) one LEFT JOIN
                (SELECT id, state, request_digest, machine_class, why_there FROM tasks
                 WHERE owner = :owner AND idempotency_key = :idempotency_key) old ON true"""
    )
    .bindparams(
        sa.bindparam("owner", type_=sa.Text),
        sa.bindparam("digests", type_=ARRAY(sa.Text)),
        sa.bindparam("idempotency_key", type_=sa.Text),
    )
    .columns(
        sa.column("queued", sa.Integer),
        sa.column("stored", ARRAY(sa.Text)),
        _t.id,
        _t.state,
        _t.request_digest,
        _t.machine_class,
        _t.why_there,
    )
)
SAME_RUNS = (
    sa.select(_t.id, _t.state)
    .where(
        _t.owner == sa.bindparam("owner"),
        _t.cache_key == sa.bindparam("cache_key"),
        _t.completed_at.is_(None),
    )
    .limit(1)
)

"""A task's first step: from a checked request to a queued row, in one statement. `tasks` passes
these names on.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import sqlalchemy as sa
from blake3 import blake3
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store import json_text
from mecapy_backend.store.database import first
from mecapy_backend.store.tables import blobs, tasks
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject, State, TaskRequest

_t = tasks.c


class Conflict(Exception):
    """The idempotency key was used for another body."""


class TooManyQueued(Exception):
    """The owner has as many queued tasks as one may."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class BlobsNotStored(Exception):
    """The request names blobs that are not (or no longer) stored."""

    def __init__(self, digests: list[str]) -> None:
        super().__init__(digests)
        self.digests = digests


@dataclass(frozen=True, slots=True)
class Submitted:
    task_id: str
    created: bool  # False: the same request came before, with the same idempotency key
    state: State = wire.QUEUED


async def submit(
    db: AsyncEngine,
    owner: str,
    body: JsonObject,
    *,
    idempotency_key: str | None = None,
    max_queued: int | None = None,
    short: bool = False,
) -> Submitted:
    """Commit a new queued task. `body` is `TaskRequest.as_json()`, checked by the caller.
    `max_queued` None: need not be counted.

    Raises Conflict, TooManyQueued, BlobsNotStored; ValueError for what JSON cannot hold (NaN).
    """
    text = json_text.encode(body)
    digest = blake3(text.encode("ascii")).digest()
    request = TaskRequest.from_json(body)
    digests = sorted(set(request.payload.digests)) if request.payload else []
    task_id = str(uuid.uuid4())
    row = {
        "id": task_id,
        "owner": owner,
        "name": request.name,
        "priority": request.priority,
        "request": text,
        "request_digest": digest,
        "idempotency_key": idempotency_key,
        "digests": digests,
        "short": short,
        "python": request.python,
    }
    values = {f"new_{name}": value for name, value in row.items()} | (
        {} if max_queued is None else {"max_queued": max_queued}
    )
    for _ in range(3):
        if await first(db, _SUBMIT[bool(digests), max_queued is not None], values):
            return Submitted(task_id, True)
        parameters = {"owner": owner, "digests": digests, "idempotency_key": idempotency_key}
        found = await first(db, _WHY_NOT, parameters)
        assert found is not None  # it always has one row
        if found.id:
            if found.request_digest != digest:
                raise Conflict
            return Submitted(found.id, False, found.state)
        if max_queued is not None and found.queued >= max_queued:
            raise TooManyQueued(max_queued)
        if missing := sorted(set(digests) - set(found.stored)):
            raise BlobsNotStored(missing)
        # else: what stood in the way has gone meanwhile
    raise TooManyQueued(max_queued or 0)


def _submit_statement(*, with_blobs: bool, counted: bool) -> sa.Executable:
    def given(name: str) -> sa.BindParameter[object]:
        return sa.bindparam(
            f"new_{name}", type_=_t[name].type
        )  # a bare column's name would also become a SET of the update below

    queued = (
        sa.select(sa.literal(1))
        .where(_t.owner == given("owner"), _t.state == wire.QUEUED)
        .limit(sa.bindparam("max_queued", type_=sa.Integer))
    )
    columns = [
        "id",
        "owner",
        "name",
        "priority",
        "request",
        "request_digest",
        "idempotency_key",
        "digests",
        "short",
        "python",
    ]
    row = sa.select(*[given(name) for name in columns], sa.literal(wire.QUEUED))
    if counted:
        count = sa.select(sa.func.count()).select_from(queued.subquery()).scalar_subquery()
        row = row.where(count < sa.bindparam("max_queued", type_=sa.Integer))
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
    return (
        insert(tasks)
        .from_select([*columns, "state"], row)
        .on_conflict_do_nothing()
        .returning(_t.id)
    )


_SUBMIT = {
    (with_blobs, counted): _submit_statement(with_blobs=with_blobs, counted=counted)
    for with_blobs in (False, True)
    for counted in (False, True)
}
_WHY_NOT = (
    sa.text(
        """SELECT (SELECT count(*) FROM tasks WHERE owner = :owner AND state = 'queued') AS queued,
                  ARRAY(SELECT digest FROM blobs
                        WHERE owner = :owner AND digest = ANY(:digests)) AS stored,
                  old.*
           FROM (SELECT 1) one LEFT JOIN
                (SELECT id, state, request_digest FROM tasks
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
    )
)

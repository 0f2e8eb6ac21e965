"""The limits of an owner, and how much of them is used: one statement over users, organisations,
tasks and the month's use.

Read by the gateway's `allowance` (once a second for each owner) and by the worker's reconciler; a
worker adds what its tasks took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.queue.queue import Share
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.database import Row, all_rows, changed
from mecapy_jupyter import wire


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """How much of something is used, and its limit; None: no limit."""

    used: float
    limit: float | None

    @property
    def left(self) -> float | None:
        return None if self.limit is None else max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class QuotaStatus:
    """An owner's limits, and what the owner uses of them, alone and with their whole organisation
    (empty without one). `resources`: the default for tasks that ask for nothing.
    """

    share: Share
    of_owner: Mapping[str, QuotaUse]
    of_organisation: Mapping[str, QuotaUse]
    resources: wire.Resources | None = None


QUOTAS = ("queued", "running", "cpu_hours", "bytes", "euros")


async def quota_status(
    db: AsyncEngine, owner: str, settings: Settings, *, with_bytes: bool = False
) -> QuotaStatus:
    """Where an owner stands now. Counting stops at the limit, so that a long queue costs no more
    than a full one; blobs have no index of their sizes, so their sum is made only where it is
    wanted.
    """
    values = {"owner": owner, "most": settings.max_queued_tasks, "with_bytes": with_bytes}
    row = (await all_rows(db, _STANDING, values))[0]
    limits = (
        _or(row.max_queued, settings.max_queued_tasks),
        _or(row.max_running, settings.max_running_tasks or None),
        _or(row.cpu_hours, settings.cpu_hours or None),
        _or(row.quota_bytes, settings.quota_bytes),
        None,
    )
    user_quotas = {
        name: QuotaUse(used, limit)
        for name, used, limit in zip(QUOTAS, row.own, limits, strict=True)
    }
    of_all = (row.o_max_queued, row.o_max_running, row.o_cpu_hours, row.o_quota_bytes, None)
    organisation = {
        name: QuotaUse(used, limit)
        for name, used, limit in zip(QUOTAS, row.whole or (), of_all, strict=False)
    }
    resources = wire.Resources.from_json(row.o_resources) if row.o_resources else None
    return QuotaStatus(_share(row, settings), user_quotas, organisation, resources)


async def shares_of(db: AsyncEngine, owners: Sequence[str], settings: Settings) -> dict[str, Share]:
    """The shares of many owners."""
    if not owners:
        return {}
    rows = await all_rows(db, _SHARES, {"owners": list(owners)})
    return {row.owner: _share(row, settings) for row in rows}


async def running_capped(db: AsyncEngine, settings: Settings) -> dict[str, list[str]]:
    """The running tasks that count against a cap, by owner."""
    found = dict[str, list[str]]()
    for owner, task_id in await all_rows(db, _CAPPED, {"always": bool(settings.max_running_tasks)}):
        found.setdefault(owner, []).append(task_id)
    return found


@dataclass(frozen=True, slots=True)
class Took:
    """What an owner's tasks used. `busy_s`: how long they occupied a slot."""

    cpu_s: float = 0.0
    tasks: int = 0
    busy_s: float = 0.0

    def __add__(self, more: Took) -> Took:
        return Took(self.cpu_s + more.cpu_s, self.tasks + more.tasks, self.busy_s + more.busy_s)


async def add_usage(
    db: AsyncEngine,
    took: Mapping[str, Took],
    worker: str = "",
    slots: int = 1,
    price: float = 0.0,
) -> None:
    """Adds each owner's use to this month's and today's. `price`: of the worker's machine, in euros
    an hour, unless the fleet bought it for another.
    """
    owners = sorted(took)  # in one order everywhere: two workers never wait for each other
    values = {
        "owners": owners,
        "cpu_s": [took[o].cpu_s for o in owners],
        "tasks": [took[o].tasks for o in owners],
        "slot_hours": [took[o].busy_s / 3600 / slots for o in owners],
        "worker": worker,
        "price": price,
    }
    await changed(db, _ADD, values)


def _share(row: Row, settings: Settings) -> Share:
    cap = _or(row.max_running, settings.max_running_tasks)
    return Share(
        row.organisation or "",
        row.weight or 1.0,
        int(cap or 0),
        row.o_weight or 1.0,
        row.o_max_running or 0,
    )


def _or(limit: float | None, default: float | None) -> float | None:
    return default if limit is None else limit


_MONTH = "date_trunc('month', now() AT TIME ZONE 'UTC')::date"
_TODAY = "(now() AT TIME ZONE 'UTC')::date"
_WHO = """
    SELECT asked.owner, u.organisation,
           u.weight, u.max_running, u.max_queued, u.cpu_hours, u.quota_bytes,
           o.weight AS o_weight, o.max_running AS o_max_running, o.max_queued AS o_max_queued,
           o.cpu_hours AS o_cpu_hours, o.quota_bytes AS o_quota_bytes, o.resources AS o_resources
    FROM asked
    LEFT JOIN users u ON u.id = asked.owner LEFT JOIN organisations o ON o.id = u.organisation
"""

_SHARES = sa.text(f"WITH asked AS (SELECT unnest(CAST(:owners AS text[])) AS owner) {_WHO}")


def _used(owners: str, most: str) -> str:
    """queued or blocked, running, CPU-hours of the month, bytes, euros of the month, as an array:
    of the owners that a condition names.
    """
    return f"""ARRAY[
      (SELECT count(*) FROM (
         (SELECT 1 FROM tasks WHERE owner {owners} AND state = 'queued' LIMIT {most})
         UNION ALL
         (SELECT 1 FROM tasks WHERE owner {owners} AND state = 'blocked' LIMIT {most})
       ) AS counted)::float8,
      (SELECT count(*) FROM tasks WHERE owner {owners} AND state = 'running')::float8,
      (SELECT coalesce(sum(cpu_s), 0) / 3600 FROM usage WHERE owner {owners} AND month = {_MONTH}),
      CASE WHEN :with_bytes
           THEN (SELECT coalesce(sum(size), 0) FROM blobs WHERE owner {owners})::float8
           ELSE 0 END,
      (SELECT coalesce(sum(euros), 0) FROM usage WHERE owner {owners} AND month = {_MONTH})]"""


_OF_ORGANISATION = "IN (SELECT id FROM users WHERE organisation = who.organisation)"
_STANDING = sa.text(
    f"""WITH asked AS (SELECT CAST(:owner AS text) AS owner), who AS ({_WHO})
        SELECT who.*, {_used("= who.owner", "coalesce(who.max_queued, :most)")} AS own,
               CASE WHEN who.organisation IS NOT NULL THEN
                 {_used(_OF_ORGANISATION, "who.o_max_queued")} END AS whole
        FROM who"""
).bindparams(sa.bindparam("most", type_=sa.Integer), sa.bindparam("with_bytes", type_=sa.Boolean))

_CAPPED = sa.text(
    """SELECT t.owner, t.id::text FROM tasks t
       LEFT JOIN users u ON u.id = t.owner LEFT JOIN organisations o ON o.id = u.organisation
       WHERE t.state = 'running' AND (:always OR u.max_running > 0 OR o.max_running > 0)"""
).bindparams(sa.bindparam("always", type_=sa.Boolean))

_ADD = sa.text(
    f"""WITH paid AS (
         SELECT coalesce((SELECT price FROM machines WHERE worker = :worker AND state <> 'gone'
                          LIMIT 1), :price) AS price)
       INSERT INTO usage (owner, month, cpu_s, tasks, euros, day, day_euros)
       SELECT owner, {_MONTH}, cpu_s, tasks, hours * price, {_TODAY}, hours * price
       FROM unnest(:owners, :cpu_s, :tasks, :slot_hours) AS t (owner, cpu_s, tasks, hours), paid
       ON CONFLICT (owner, month) DO UPDATE
       SET cpu_s = usage.cpu_s + excluded.cpu_s, tasks = usage.tasks + excluded.tasks,
           euros = usage.euros + excluded.euros, day = excluded.day,
           day_euros = excluded.day_euros
                       + CASE WHEN usage.day = excluded.day THEN usage.day_euros ELSE 0 END"""
).bindparams(
    sa.bindparam("slot_hours", type_=ARRAY(sa.Float)),
    sa.bindparam("worker", type_=sa.Text),
    sa.bindparam("price", type_=sa.Float),
    sa.bindparam("owners", type_=ARRAY(sa.Text)),
    sa.bindparam("cpu_s", type_=ARRAY(sa.Float)),
    sa.bindparam("tasks", type_=ARRAY(sa.BigInteger)),
)

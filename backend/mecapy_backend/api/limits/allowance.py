"""What an owner may still have: their share of the pool and what is left of each quota, known
closely enough to tell at no cost.

Looked at once a second for each owner who submits; what was submitted here since is added. Other
gateways' submissions of the last second are not in it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api.problems import Problem
from mecapy_backend.queue.queue import Share
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.people import shares
from mecapy_backend.store.people.shares import QuotaStatus, QuotaUse

_FRESH_S = 1.0
_NEAR = 0.9
"""From this part of the limit on, each submission counts exactly, in its own statement."""


@dataclass(frozen=True, slots=True)
class Admission:
    """`count_to`: how many queued tasks the submission itself must count to; None: its owner is far
    below that.
    """

    share: Share
    count_to: int | None


@dataclass(slots=True)
class _CachedStatus:
    standing: QuotaStatus
    at_s: float
    since: int = 0


class TaskQuotas:
    """One gateway's knowledge."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: dict[str, _CachedStatus] = {}

    async def submission(self, db: AsyncEngine, owner: str) -> Admission:
        """What one more task of this owner gets. Raises Problem 429 where a quota is used up."""
        seen = self._seen.get(owner)
        if seen is None or time.monotonic() - seen.at_s > _FRESH_S:
            if len(self._seen) > 10_000:
                self._seen.clear()
            seen = self._seen[owner] = _CachedStatus(
                await shares.quota_status(db, owner, self._settings), time.monotonic()
            )
        seen.since += 1
        standing = seen.standing
        for whose, uses in (("you", standing.own), ("your organisation", standing.organisation)):
            if uses and uses["cpu_hours"].left == 0:
                raise _no_more_hours(whose, uses["cpu_hours"])
        if standing.organisation and _beyond(standing.organisation["queued"], seen.since):
            raise queue_full("your organisation", standing.organisation["queued"].limit or 0)
        queued = standing.own["queued"]
        limit = int(queued.limit or 0)
        return Admission(
            standing.share, None if queued.used + seen.since < limit * _NEAR else limit
        )


def _beyond(use: QuotaUse, more: float) -> bool:
    return use.limit is not None and use.used + more > use.limit


def queue_full(whose: str, limit: float) -> Problem:
    have = "you have" if whose == "you" else f"{whose} has"
    advice = "wait until some have started, or cancel some; an admin can raise it (`max_queued`)"
    return Problem(
        429,
        "queue-full",
        f"{have} {limit:g} queued tasks, as many as allowed: {advice}",
        headers={"Retry-After": "5"},
    )


def _no_more_hours(whose: str, use: QuotaUse) -> Problem:
    now = datetime.now(UTC)
    again = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    have = "you have" if whose == "you" else f"{whose} has"
    told = f"{have} used {use.used:.2f} of {use.limit:g} CPU-hours this month, all there are"
    detail = f"{told}: they start anew on {again:%Y-%m-%d}; an admin can raise them (`cpu_hours`)"
    return Problem(
        429,
        "cpu-hours",
        detail,
        headers={"Retry-After": str(int((again - now).total_seconds()) + 1)},
    )


def told(standing: QuotaStatus) -> dict[str, Any]:
    """For `GET /me`: quota → used, limit, left, for oneself and, where there is one, for the
    organisation.
    """

    def quotas(uses: Any) -> dict[str, Any]:
        return {
            name: {"used": round(use.used, 6), "limit": use.limit, "left": use.left}
            for name, use in uses.items()
        }

    whole = {"organisation_quotas": quotas(standing.organisation)} if standing.organisation else {}
    return {"weight": standing.share.weight, "quotas": quotas(standing.own), **whole}

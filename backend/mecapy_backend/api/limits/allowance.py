"""An owner's share of the pool and the rest of each quota, cached for a second per owner, plus
submissions to this gateway since. Other gateways' submissions of that second are not included.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api.problems import Problem
from mecapy_backend.queue.queue import Share
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.people import shares
from mecapy_backend.store.people.shares import QuotaStatus, QuotaUse
from mecapy_jupyter.wire import Resources

_CACHED_S = 1.0
_NEAR = 0.9
"""Above this part of the limit, each submission counts exactly, in its own statement."""


@dataclass(frozen=True, slots=True)
class Admission:
    """`count_to`: up to how many queued tasks the submission itself must count; None: its owner is
    far below; `most`: the same, also then.
    """

    share: Share
    count_to: int | None
    most: int


@dataclass(slots=True)
class _CachedStatus:
    status: QuotaStatus
    read_s: float  # of the monotonic clock
    submitted_since: int = 0


class TaskQuotas:
    """One gateway's knowledge."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cached: dict[str, _CachedStatus] = {}

    async def usual_resources(self, db: AsyncEngine, owner: str) -> Resources | None:
        """The resources of this owner's tasks that ask for none."""
        return (await self._status(db, owner)).status.resources

    async def _status(self, db: AsyncEngine, owner: str) -> _CachedStatus:
        cached = self._cached.get(owner)
        if cached is None or time.monotonic() - cached.read_s > _CACHED_S:
            if len(self._cached) > 10_000:
                self._cached.clear()
            cached = self._cached[owner] = _CachedStatus(
                await shares.quota_status(db, owner, self._settings, with_bytes=True),
                time.monotonic(),
            )
        return cached

    async def submission(self, db: AsyncEngine, owner: str) -> Admission:
        """The share for one more task of this owner. Raises Problem 429 if a quota is used up."""
        cached = await self._status(db, owner)
        cached.submitted_since += 1
        status = cached.status
        for whose, uses in (
            ("you", status.of_owner),
            ("your organisation", status.of_organisation),
        ):
            if uses and uses["cpu_hours"].left == 0:
                raise _no_more_hours(whose, uses["cpu_hours"])
            if uses and uses["bytes"].left == 0:
                raise _nothing_more_to_store(whose, uses["bytes"])
        if status.of_organisation and _beyond(
            status.of_organisation["queued"], cached.submitted_since
        ):
            raise queue_full("your organisation", status.of_organisation["queued"].limit or 0)
        queued = status.of_owner["queued"]
        limit = int(queued.limit or 0)
        return Admission(
            status.share,
            None if queued.used + cached.submitted_since < limit * _NEAR else limit,
            limit,
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


def _nothing_more_to_store(whose: str, use: QuotaUse) -> Problem:
    have = "your" if whose == "you" else f"{whose}'s"
    detail = (
        f"{have} blobs take {use.used:,.0f} of {use.limit:,.0f} bytes here, 0 more "
        "may be stored, so there is no room for a result: delete tasks you no longer "
        "need (DELETE /tasks/…), or try again when unused blobs have been deleted; "
        "an admin can raise it (`quota_bytes`)"
    )
    return Problem(413, "quota", detail, headers={"Retry-After": "60"})


def _no_more_hours(whose: str, use: QuotaUse) -> Problem:
    now = datetime.now(UTC)
    renewed = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    have = "you have" if whose == "you" else f"{whose} has"
    used = f"{have} used {use.used:.2f} of {use.limit:g} CPU-hours this month, which is the limit"
    detail = (
        f"{used}: they are renewed on {renewed:%Y-%m-%d}; an admin can raise them (`cpu_hours`)"
    )
    return Problem(
        429,
        "cpu-hours",
        detail,
        headers={"Retry-After": str(int((renewed - now).total_seconds()) + 1)},
    )

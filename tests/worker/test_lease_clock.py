"""When a worker may judge that others are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.workers import Heard
from mecapy_worker.context import LeaseClock

SETTINGS = Settings(lease_s=10.0, heartbeat_s=3.0)


async def test_after_a_late_answer_others_get_one_lease() -> None:
    """As long as heartbeats are answered in time, a worker may take back what others hold; after a
    gap only once a lease has passed.
    """
    clock, at = LeaseClock(), datetime(2026, 11, 28, tzinfo=UTC)

    def takes_back(after_s: float) -> bool:
        """At an answer so long after the one before."""
        nonlocal at
        at += timedelta(seconds=after_s)
        clock.hear(Heard(False, at), SETTINGS)
        assert clock.takes_back is not None
        since, until = clock.takes_back
        return since <= at <= until

    assert [takes_back(after_s) for after_s in (0, 3, 6.4)] == [True] * 3
    assert [takes_back(after_s) for after_s in (6.6, 3, 3, 3, 3)] == [False] * 4 + [True]
    assert clock.takes_back is not None and clock.takes_back[1] == at + timedelta(seconds=6.5)

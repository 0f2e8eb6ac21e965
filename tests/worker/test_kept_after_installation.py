"""When a worker's packages change, results that may be of the versions before are not kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mecapy_worker.packages import base, renewal


async def test_what_was_submitted_before_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither while the new packages are not taken over, nor what was submitted until then."""
    now, minute = datetime.now(UTC), timedelta(minutes=1)
    assert renewal.are_as_at(now)
    monkeypatch.setattr(renewal, "_settled", (1.0,))
    monkeypatch.setattr(base, "changed", lambda: (2.0,))
    assert not renewal.are_as_at(now)
    monkeypatch.setattr(renewal, "_settled", (2.0,))
    monkeypatch.setattr(renewal, "_renewed_at", now)
    assert not renewal.are_as_at(now - minute)
    assert not renewal.are_as_at(now + timedelta(seconds=5))  # its key may be older
    assert renewal.are_as_at(now + minute)

"""When a worker's packages change, results that may be of the versions before are not kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mecapy_worker.upkeep import installed_packages


async def test_what_was_submitted_before_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither while the new packages are not taken over, nor what was submitted until then."""
    now, minute = datetime.now(UTC), timedelta(minutes=1)
    assert installed_packages.are_as_at(now)
    monkeypatch.setattr(installed_packages, "_settled", (1.0,))
    monkeypatch.setattr(installed_packages, "_changed", lambda: (2.0,))
    assert not installed_packages.are_as_at(now)
    monkeypatch.setattr(installed_packages, "_settled", (2.0,))
    monkeypatch.setattr(installed_packages, "_renewed_at", now)
    assert not installed_packages.are_as_at(now - minute)
    assert not installed_packages.are_as_at(now + timedelta(seconds=5))  # its key may be older
    assert installed_packages.are_as_at(now + minute)

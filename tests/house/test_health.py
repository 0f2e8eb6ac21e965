"""The health check of the worker's image asks the heartbeat, so it says what other components would say."""

from __future__ import annotations

import platform
from typing import Any

import pytest

from mecapy_backend.settings import Settings
from mecapy_backend.store import workers
from mecapy_worker import health


@pytest.mark.parametrize(("host", "healthy"), [(platform.node(), True), ("another-machine", False)])
async def test_health_is_the_heartbeat_of_this_host(db: Any, database_url: str, host: str, healthy: bool) -> None:
    """A worker of this host that beat lately is healthy; one of another host says nothing of this one."""
    settings = Settings(database_url=database_url)
    assert not await health.alive(settings)
    await workers.beat(db, "w1", {"host": host})
    assert await health.alive(settings) is healthy

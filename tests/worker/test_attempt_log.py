"""The stored log of an attempt: how much of a task's usage it keeps."""

from __future__ import annotations

from pathlib import Path

from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject
from mecapy_worker.run.attempt_log import AttemptLog


async def test_usage_of_a_long_run_is_thinned(tmp_path: Path) -> None:
    """A day of one report a second stays below 64 KiB, and no peak of memory is lost."""
    log = AttemptLog(tmp_path / "spool")
    used: list[JsonObject] = [{"cpu_percent": 10.0, "memory_bytes": 10**6}] * 86_400
    used[80_001] = {"cpu_percent": 10.0, "memory_bytes": 10**9}
    await log.keep([("", wire.USAGE, data) for data in used])
    kept, file = log.content()
    peaks = [event.data["memory_bytes"] for event in kept]
    assert (file, peaks.count(10**9)) == (None, 1)
    assert 300 < len(kept) < 400

"""The stored log of an attempt: how much of a task's usage it keeps."""

from __future__ import annotations

import json
import shutil
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
    kept, file = await log.content()
    peaks = [event.data["memory_bytes"] for event in kept]
    assert (file, peaks.count(10**9)) == (None, 1)
    assert 300 < len(kept) < 400


async def test_its_file_is_cleared_away(tmp_path: Path) -> None:
    """A cleaner of /tmp removes it while the task prints: the stored log is whole."""
    log, folder = AttemptLog(tmp_path / "logs" / "spool"), tmp_path / "logs"
    for text in ("a" * 100_000, "b" * 100_000):
        await log.keep([("", wire.STDOUT, {"text": text})])
        shutil.rmtree(folder, ignore_errors=True)
    _, file = await log.content()
    assert file
    stored = [json.loads(line)["data"]["text"] for line in file.read_bytes().splitlines()]
    assert stored == ["a" * 100_000, "b" * 100_000]

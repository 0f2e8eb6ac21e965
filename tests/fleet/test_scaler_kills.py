"""The scaler killed at any step leaves nothing behind."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from typing import Any

import psutil
import pytest

from mecapy_backend.store import machines

from ..house.tracked import ROOT


@pytest.mark.parametrize("kills", [30, pytest.param(300, marks=pytest.mark.long)])
async def test_nothing_is_left_over(database_url: str, db: Any, kills: int) -> None:
    """Two rounds of the next scaler after each SIGKILL, every process with the stack's tag stands
    in the table and every row has its process; at the end there is neither.
    """
    stack = (await machines.of_stack(db)).stack
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.fleet.killed_scaler", database_url, str(kills), "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=550,
    )
    last = ran.stdout.strip().splitlines()[-1:]
    found = re.fullmatch(r"killed (\d+), machines (\d+), left over (\d+)", "".join(last))
    assert found, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert int(found[1]) == kills
    assert int(found[2]) > kills / 2  # it did start and stop machines
    assert int(found[3]) == 0, ran.stdout
    tagged = [one for one in psutil.process_iter() if f"mecapy-{stack}-" in " ".join(words(one))]
    assert tagged == []


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []

"""The scaler killed at any step leaves nothing behind."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from mecapy_backend.store import machines

from ..house.tracked import ROOT
from .fake_scaleway import KEYS, FakeScaleway


async def killed(database_url: str, kills: int, *more: str) -> None:
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.fleet.killed_scaler", database_url, str(kills), "7", *more],
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


@pytest.mark.parametrize("kills", [20, pytest.param(300, marks=pytest.mark.long)])
async def test_nothing_is_left_at_scaleway(
    database_url: str, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """The same with a fake Scaleway, killed between any two requests to it, too: no server, no
    volume and no address is left, and it did make some.
    """
    fake = FakeScaleway(tmp_path, boots=False)
    with fake.serving() as url:
        for name, value in (KEYS | {"SCW_API_URL": url}).items():
            monkeypatch.setenv(name, value)
        await killed(database_url, kills, "scaleway-vm")
        assert fake.left() == {"servers": 0, "volumes": 0, "ips": 0}
        assert fake.made > kills / 2


@pytest.mark.parametrize("kills", [30, pytest.param(300, marks=pytest.mark.long)])
async def test_nothing_is_left_over(database_url: str, db: Any, kills: int) -> None:
    """Two rounds of the next scaler after each SIGKILL, every process with the stack's tag stands
    in the table and every row has its process; at the end there is neither.
    """
    stack = (await machines.fleet_row(db)).stack
    await killed(database_url, kills)
    tagged = [one for one in psutil.process_iter() if f"mecapy-{stack}-" in " ".join(words(one))]
    assert tagged == []


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []

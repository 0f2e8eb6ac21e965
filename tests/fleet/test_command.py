"""`mecapy fleet` as an operator runs it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mecapy_backend.store import machines
from mecapy_jupyter.cli import main
from mecapy_jupyter.shared.processes import mecapy_command

from ..conftest import RunningGateway
from .test_local_fleet import PATIENCE_S, serving, settings_of

FILE = '[pool]\nprovider = "local"\nmin = 1\nmax = 1\nboot_s = 120\n'


async def test_run_status_stop(gateway: RunningGateway, db: Any, tmp_path: Path) -> None:
    """It starts what the file says, and what `mecapy deploy workers` writes there meanwhile;
    `status` shows it; `stop` leaves none, also while the scaler goes on; SIGTERM ends the scaler.
    """
    work, file = tmp_path / "work", tmp_path / "machines.toml"
    await asyncio.to_thread(work.mkdir, 0o711)
    await asyncio.to_thread(file.write_text, FILE)
    settings = settings_of(gateway, work) | {"MECAPY_MACHINES": str(file)}

    def said(*words: str, command: str = "fleet") -> str:
        ran = subprocess.run(
            mecapy_command(command, *words), env=settings, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    async def serve(count: int) -> None:
        limit = time.monotonic() + PATIENCE_S
        while await serving(db) != count:
            assert time.monotonic() < limit and scaler.returncode is None
            await asyncio.sleep(0.2)

    scaler = await asyncio.create_subprocess_exec(
        *mecapy_command("fleet", "--leave-none"),
        env=settings,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await serve(1)
        deployed = ("workers", "2", "--on", "local")
        written = await asyncio.to_thread(said, *deployed, command="deploy")
        assert "pool on local: always 2 machines" in written and "written to" in written
        await serve(2)
        again = await asyncio.to_thread(said, *deployed, command="deploy")
        assert again.endswith("needs no change\n")
        status = await asyncio.to_thread(said, "status")
        assert " serving " in status and "€0.00 today" in status
        stopped = await asyncio.to_thread(said, "stop")
        assert stopped.endswith("no machine is left; `mecapy fleet resume` allows new ones\n")
        assert "stopped" in await asyncio.to_thread(said, "status")
        assert await machines.alive(db) == []
    finally:
        scaler.send_signal(signal.SIGTERM)
        assert await scaler.wait() == 0


def test_nothing_to_scale(tmp_path: Path) -> None:
    """Without a class that has a provider it ends with a sentence."""
    ran = subprocess.run(
        mecapy_command("fleet"), env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert "MECAPY_MACHINES, which is not set, names no class with a provider" in ran.stderr


@pytest.mark.parametrize("words", ["status", "resume", "simulate --measured"])
def test_no_database(words: str) -> None:
    """Where PostgreSQL does not answer, a command ends with a sentence that says what to set."""
    settings = {"PATH": "/usr/bin:/bin", "MECAPY_DATABASE_URL": "postgresql://127.0.0.1:9/x"}
    ran = subprocess.run(
        mecapy_command("fleet", *words.split()), env=settings, capture_output=True, text=True
    )
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("mecapy: PostgreSQL does not answer: see that it runs and that MECAPY_")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--seconds nan", "--seconds is nan; it must be a finite number above 0"),
        ("--tasks-a-day 1e3", "'1e3' is not a whole number from 1 on"),
        ("--arrivals often", "--arrivals is 'often'; it must be one of steady, day-night, bursts"),
        ("--machine huge", "MECAPY_MACHINES has no class 'huge', only pool"),
    ],
)
def test_a_simulation_of_nonsense(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence that says what there is."""
    with suppress(SystemExit):
        assert main(["fleet", "simulate", *words.split()]) == 1
    assert says in capsys.readouterr().err

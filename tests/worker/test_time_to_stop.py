"""A child that is told to stop gets its time for that also where a busy machine lets it wait."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from mecapy_worker.context import RunningTask
from mecapy_worker.pool.usage import Scheduled, scheduled
from mecapy_worker.run import relay

from ..stack.running import until


class WaitingChild:
    """Gets no processor for a while after each signal. `heard`: set by one that hears the
    interrupt.
    """

    pid = 1

    def __init__(self) -> None:
        self.told, self.looks, self.heard = list[str](), 0, asyncio.Event()

    async def interrupt(self) -> None:
        self.told.append("SIGINT")
        self.heard.set()

    async def terminate(self) -> None:
        self.told.append("SIGTERM")
        self.looks = 0

    async def kill(self) -> None:
        self.told.append("SIGKILL")

    def scheduled(self, _: int) -> Scheduled:
        self.looks += 1
        return Scheduled(runnable=True, ran_s=10.0 * max(0, self.looks - 6))


@pytest.mark.parametrize("hears", [False, True])
async def test_what_waits_for_a_processor_is_not_killed_yet(
    monkeypatch: pytest.MonkeyPatch, hears: bool
) -> None:
    """While it sends its results, or between SIGTERM and SIGKILL, only the time counts that the
    child has run.
    """
    child, running = WaitingChild(), RunningTask("t", 1)
    monkeypatch.setattr(relay, "scheduled", child.scheduled)
    monkeypatch.setattr(relay, "cpu_s", lambda _: 0.0)
    monkeypatch.setattr(relay, "HOME_S", 600.0)
    nobody: Any = SimpleNamespace(cpu_s=0.0)
    as_handle: Any = child
    running.stop("cancel")
    stopping = relay.Relay(as_handle, running, nobody, nobody, home_s=0.2)
    if hears:
        child.heard = stopping._interrupted  # pyright: ignore[reportPrivateUsage]
    await stopping._stop_when_due(60.0)  # pyright: ignore[reportPrivateUsage]
    assert child.told == ["SIGINT", *([] if hears else ["SIGTERM"]), "SIGKILL"]
    assert child.looks > 6


@contextmanager
def started(*codes: str) -> Generator[list[int]]:
    """A process of each, for the length of the block."""
    with ExitStack() as opened:
        pids = list[int]()
        for code in codes:
            process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
            opened.enter_context(process)
            opened.callback(process.kill)
            pids.append(process.pid)
        yield pids


@pytest.mark.skipif(sys.platform != "linux", reason="nothing else tells how a thread is scheduled")
async def test_who_waits_for_a_processor_is_known() -> None:
    """Of two processes on one processor each has waited for the other: that counts as no time to
    stop; who is asleep waits for nothing.
    """
    there = min(os.sched_getaffinity(0))
    busy = f"import os\nos.sched_setaffinity(0, {{{there}}})\nwhile True: pass"
    with started(busy, busy, "input()") as (one, other, asleep):

        def known() -> bool:
            both = [scheduled(pid) for pid in (one, other)]
            return all(each.runnable and each.waited_s > 1 for each in both) and (
                not scheduled(asleep).runnable
            )

        await asyncio.to_thread(until, known)
    assert scheduled(2**22 + 1) == Scheduled()

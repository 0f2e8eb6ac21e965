"""Provider `local`: each machine is a worker process on this machine, in a session of its own. Its
tag is among its arguments, so any process can find it again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from mecapy_backend.fleet.classes import SCALEWAY_CONTAINER, MachineClass
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_jupyter.shared.processes import mecapy_command
from mecapy_jupyter.shared.units import size

GRACE_S = 30.0
_LOOK_S = 0.05
_LEAST_FREE = 1_000_000_000


class LocalProvider:
    """`command` gets `--hours H --machine TAG` at its end. `log`: where what the workers print is
    added; None: it is dropped.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        log: Path | None = None,
        command: Sequence[str] = (),
        grace_s: float = GRACE_S,
    ) -> None:
        self._settings, self._log, self._grace_s = settings, log, grace_s
        self._command = tuple(command) or mecapy_command("worker")
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, tag: Tag, machine: MachineClass, token: str = "") -> str:
        if psutil.virtual_memory().available < _LEAST_FREE:
            raise ProviderRefused(f"less than {size(_LEAST_FREE)} of memory is free here")
        log = self._log.open("ab") if self._log else None
        try:
            child = subprocess.Popen(
                [*self._command, "--hours", f"{machine.hours:g}", "--machine", str(tag)],
                stdin=subprocess.DEVNULL,
                stdout=log or subprocess.DEVNULL,
                stderr=log or subprocess.DEVNULL,
                env={**self._settings, **worker_settings(machine)},
                cwd="/",
                start_new_session=True,
            )
        except OSError as problem:
            raise ProviderRefused(f"no process: {problem.strerror or problem}") from None
        finally:
            if log:
                log.close()
        self._children.append(child)
        return str(child.pid)

    def stop(self, handle: str, tag: Tag) -> None:
        """SIGTERM, by which a worker gives its tasks back; then SIGKILL for its whole session."""
        found = [process for process in _tagged(tag.stack) if process[1] == tag]
        for process, _ in found:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + self._grace_s
        while any(_lives(process) for process, _ in found) and time.monotonic() < until:
            self._reap()
            time.sleep(_LOOK_S)
        for process, _ in found:
            _end_session(process.pid)
        self._reap()

    def list(self, stack: str) -> Mapping[str, str]:
        self._reap()
        return {tag.machine: str(process.pid) for process, tag in _tagged(stack)}

    def pids(self) -> list[str]:
        """The pids of the running workers that this process started."""
        self._reap()
        return [str(child.pid) for child in self._children]

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]


def worker_settings(machine: MachineClass) -> dict[str, str]:
    """The settings of a worker of this class."""
    found = {
        "MECAPY_MACHINE_CLASS": machine.name,
        "MECAPY_WORKER_SLOTS": str(machine.slots),
    }
    if machine.provider != SCALEWAY_CONTAINER:  # that looks at PORT whether the worker lives
        found["MECAPY_WORKER_PORT"] = "0"
    if machine.gpu:
        found["MECAPY_GPUS"] = "all"
    if machine.memory_bytes:
        found["MECAPY_MAX_MEMORY_BYTES"] = str(machine.memory_bytes)
    return found


def _tagged(stack: str) -> list[tuple[psutil.Process, Tag]]:
    """The leaders of sessions that carry this stack's tag, and live."""
    found = list[tuple[psutil.Process, Tag]]()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            words = process.cmdline()
            tag = Tag.of(words[-1]) if len(words) > 2 and words[-2] == "--machine" else None
            leads = tag and tag.stack == stack and os.getsid(process.pid) == process.pid
            if tag and leads and _lives(process):
                found.append((process, tag))
    return found


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _end_session(leader: int) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == leader:
                process.kill()

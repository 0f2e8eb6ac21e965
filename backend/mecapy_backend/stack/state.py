"""The state file of a stack: who runs, written whole at every change; and the end of what a killed
supervisor left behind.

Only processes whose pid and time of birth were recorded (and what is left of their sessions) are
ever signalled, never a name.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil

from mecapy_jupyter.shared.data_dir import DataDir, recorded_state
from mecapy_jupyter.shared.processes import is_alive, start_time
from mecapy_jupyter.wire.stack import ProcessId, StackState

_GRACE_S = 10.0
_LOOK_S = 0.02
_ORDER = {"gateway": 0, "worker": 0, "redis": 1, "postgres": 2}


def write(data_dir: DataDir, state: StackState) -> None:
    """Whole or not at all: a reader never sees half a file."""
    draft = data_dir.state.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(state.as_json(), file, indent=1)
    draft.replace(data_dir.state)


def sweep(data_dir: DataDir) -> int:
    """Ends every component a dead supervisor left behind, and forgets it. Returns how many there
    were. Hold the lock.
    """
    state = recorded_state(data_dir)
    if not state:
        return 0
    left = [component for component in state.components if is_alive(component.process)]
    for component in sorted(left, key=lambda component: _ORDER.get(component.name, 0)):
        gently = signal.SIGINT if component.name == "postgres" else signal.SIGTERM
        end(component.process, gently)
    for component in state.components:
        end_session(component.process)
    for folder in state.temporary:
        shutil.rmtree(folder, ignore_errors=True)
    data_dir.state.unlink(missing_ok=True)
    data_dir.token.unlink(missing_ok=True)
    return len(left)


def end(process: ProcessId, number: signal.Signals) -> None:
    """Asks a process to end, makes it end, waits until it has. (It does not wait until the parent
    has reaped it.)
    """
    for attempt in (number, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.kill(process.pid, attempt)
        until = time.monotonic() + _GRACE_S
        while is_alive(process):
            if time.monotonic() > until:
                break
            time.sleep(_LOOK_S)
        else:
            return


def end_session(leader: ProcessId) -> None:
    """Kills what is left of a session whose leader has ended. A newer process that got the same pid
    is left alone.
    """
    if (now := start_time(leader.pid)) and abs(now - leader.started) >= 1.0:
        return
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            is_member = os.getsid(process.pid) == leader.pid
            if is_member and start_time(process.pid) >= leader.started - 1.0:
                process.kill()


def bounded(log: Path, limit_bytes: int) -> None:
    """Keeps a component's log and one older one within twice the limit. The component goes on
    writing: it appends.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size > limit_bytes:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)

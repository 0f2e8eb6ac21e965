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
from typing import Any

import psutil

from mecapy_jupyter.shared.data_dir import Files, born, lives, recorded

_GRACE_S = 10.0
_LOOK_S = 0.02
_ORDER = {"gateway": 0, "worker": 0, "redis": 1, "postgres": 2}


def write(place: Files, state: dict[str, Any]) -> None:
    """Whole or not at all: a reader never sees half a file."""
    draft = place.state.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(state, file, indent=1)
    draft.replace(place.state)


def sweep(place: Files) -> int:
    """Ends every component a dead supervisor left behind, and forgets it. Returns how many there
    were. Hold the lock.
    """
    state = recorded(place)
    if not state:
        return 0
    left = [part for part in state["components"] if lives(part["pid"], part["created"])]
    for part in sorted(left, key=lambda part: _ORDER.get(part["name"], 0)):
        end(
            part["pid"],
            part["created"],
            signal.SIGINT if part["name"] == "postgres" else signal.SIGTERM,
        )
    for part in state["components"]:
        end_session(part["pid"], part["created"])
    for folder in state.get("temporary", ()):
        shutil.rmtree(folder, ignore_errors=True)
    place.state.unlink(missing_ok=True)
    return len(left)


def end(pid: int, since: float, number: signal.Signals) -> None:
    """Asks a process to end, makes it end, waits until it has. (Not until it is reaped: that is for
    its parent, whoever that is.)
    """
    for attempt in (number, signal.SIGKILL):
        with contextlib.suppress(OSError):
            os.kill(pid, attempt)
        until = time.monotonic() + _GRACE_S
        while lives(pid, since):
            if time.monotonic() > until:
                break
            time.sleep(_LOOK_S)
        else:
            return


def end_session(leader: int, since: float) -> None:
    """Kills what is left of a session whose leader has ended. A newer process that got the same pid
    is left alone.
    """
    if (now := born(leader)) and abs(now - since) >= 1.0:
        return
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == leader and born(process.pid) >= since - 1.0:
                process.kill()


def bounded(log: Path, limit_bytes: int) -> None:
    """Keeps a component's log and one older one within twice the limit. The component goes on
    writing: it appends.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size > limit_bytes:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)

"""The zygote as a process of this machine: its environment, and the end of its session."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from mecapy_worker.shared import libc

_PASSED_ON = (
    "TZ",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
)


def environment(home: Path) -> dict[str, str]:
    """The environment of a zygote: only what sets time zone, language and threads."""
    chosen = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "LANG": "C.UTF-8",
        **chosen,
        "PATH": os.pathsep.join(
            (str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")
        ),
        "HOME": str(home),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MALLOC_ARENA_MAX": "2",  # otherwise threads use up the address space
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",  # macOS
    }


def end_session(session: int, within_s: float = 2.0) -> None:
    """Kill every process of a session until none is left. Children cannot leave the zygote's,
    because seccomp makes `setsid` do nothing.
    """
    for _ in range(int(within_s / 0.005)):
        left = [
            pid
            for pid, (_group, its_session, state) in processes().items()
            if its_session == session and state != "Z"
        ]
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def processes() -> dict[int, tuple[int, int, str]]:
    """Process group, session and state of every process, by pid; empty where there is no /proc."""
    found: dict[int, tuple[int, int, str]] = {}
    for pid in libc.pids():
        with contextlib.suppress(OSError):
            state, _parent, group, session, *_ = (
                Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            )
            found[pid] = (int(group), int(session), state)
    return found

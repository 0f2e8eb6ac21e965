"""Which process a task is, seen from outside: in its PID namespace it has another number, but its
folder has one name for all.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil


def leader_in(folder: str) -> int:
    """The process whose working directory this is: of a task and all it started, the first."""
    for pid in psutil.pids():
        try:
            if os.getpgid(pid) == pid and str(Path(f"/proc/{pid}/cwd").readlink()) == folder:
                return pid
        except OSError:
            continue
    raise ProcessLookupError(f"nobody works in {folder}")

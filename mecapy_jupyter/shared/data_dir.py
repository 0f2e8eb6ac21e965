"""What a stack keeps in its data directory, and which process is still the one it wrote down. Both
sides of the stack read it here.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs


@dataclass(frozen=True, slots=True)
class Files:
    """What lies where in a stack's data directory."""

    data: Path

    @property
    def state(self) -> Path:
        return self.data / "stack.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.data / "stack.lock"

    @property
    def token(self) -> Path:
        return self.data / "token"

    @property
    def port(self) -> Path:
        return self.data / "port"

    @property
    def logs(self) -> Path:
        return self.data / "logs"


def files(data: Path | str | None = None) -> Files:
    """The files of the stack in `data`, by default the user's own data directory."""
    folder = Path(data).expanduser() if data else platformdirs.user_data_path("mecapy")
    # Not resolve: it must be the same before and after it exists.
    return Files(Path(os.path.abspath(folder)))  # noqa: PTH100


def born(pid: int) -> float:
    """When a process was born; 0.0 if it is already gone. On Linux in seconds since the machine's
    start, which is what the kernel knows: a time of day would be another one whenever somebody sets
    the clock, as happens when a virtual machine wakes up.
    """
    import psutil  # late: importing the package must stay cheap

    try:
        if sys.platform == "linux":
            return int(
                Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
            ) / os.sysconf("SC_CLK_TCK")
        return psutil.Process(pid).create_time()
    except (OSError, psutil.Error):
        return 0.0


def boot() -> str:
    """Another one for each start of this machine; empty where it does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def lives(pid: int, created: float) -> bool:
    """Is this still the process that was recorded? A pid comes round again, a pid with its time of
    birth does not.
    """
    import psutil

    try:
        return (
            abs(born(pid) - created) < 1.0 and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        )
    except psutil.Error:
        return False


def recorded(place: Files) -> dict[str, Any] | None:
    """What the last supervisor wrote, whether it still lives or not. Of a machine that was started
    anew nobody does.
    """
    try:
        state = json.loads(place.state.read_text())
    except (OSError, ValueError):
        return None
    return (
        state
        if state.get("boot") == boot()
        else state | {"supervisor": {"pid": 0, "created": 0.0}, "components": []}
    )


def running(place: Files) -> dict[str, Any] | None:
    """What the supervisor wrote, if it lives."""
    state = recorded(place)
    return (
        state
        if state and lives(state["supervisor"]["pid"], state["supervisor"]["created"])
        else None
    )

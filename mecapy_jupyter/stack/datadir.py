"""What a stack keeps in its data directory, and which process is still the one it wrote down. Both sides of the stack read it here.

Before it: `embedded`, `mecapy_backend.stack.supervisor` (which alone writes the state file).
"""

from __future__ import annotations

import json
import os
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
    return Files(Path(os.path.abspath(folder)))  # noqa: PTH100  (not resolve: it must be the same before and after it exists)


def lives(pid: int, created: float) -> bool:
    """Is this still the process that was recorded? A pid comes round again, a pid with its time of birth does not."""
    import psutil  # late: importing the package must stay cheap

    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def recorded(place: Files) -> dict[str, Any] | None:
    """What the last supervisor wrote, whether it still lives or not."""
    try:
        return json.loads(place.state.read_text())
    except (OSError, ValueError):
        return None


def running(place: Files) -> dict[str, Any] | None:
    """What the supervisor wrote, if it lives."""
    state = recorded(place)
    return state if state and lives(state["supervisor"]["pid"], state["supervisor"]["created"]) else None

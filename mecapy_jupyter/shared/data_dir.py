"""What a stack keeps in its data directory. Both sides of the stack read it here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.processes import boot_id, is_alive
from mecapy_jupyter.shared.user_folders import user_folders
from mecapy_jupyter.wire.json_fields import as_object
from mecapy_jupyter.wire.stack import StackState


@dataclass(frozen=True, slots=True)
class DataDir:
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


def data_dir(data: Path | str | None = None) -> DataDir:
    """The stack's data directory, by default the user's own."""
    folder = Path(data).expanduser() if data else user_folders().data
    # Not resolve: it must be the same before and after it exists.
    return DataDir(Path(os.path.abspath(folder)))  # noqa: PTH100


def log_tail(log: Path) -> str:
    """A sentence with the last lines of a program's log."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"Its log {log} ends with:\n" + ("\n".join(lines[-12:])[-1500:] or "(nothing)")


def recorded_state(stack: DataDir) -> StackState | None:
    """What the last supervisor wrote, whether it still lives or not."""
    try:
        state = StackState.from_json(as_object(json.loads(stack.state.read_text())))
    except (OSError, ValueError):
        return None
    return state if state.boot == boot_id() else state.without_processes()


def running_state(stack: DataDir) -> StackState | None:
    """What the supervisor wrote, if it lives."""
    state = recorded_state(stack)
    return state if state and is_alive(state.supervisor) else None

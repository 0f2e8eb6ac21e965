"""The user's folders, as platformdirs finds them. Every cell needs them several times, so they are
looked for once, and again where the environment has changed.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from platformdirs import PlatformDirs

_DECIDE = (
    *("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"),
    *("APPDATA", "LOCALAPPDATA", "USERPROFILE"),
)


@dataclass(frozen=True, slots=True)
class UserFolders:
    """Folders of MecaPy alone."""

    config: Path
    data: Path
    state: Path


def user_folders() -> UserFolders:
    return _found(*map(os.environ.get, _DECIDE))


@functools.lru_cache(maxsize=8)
def _found(*_decide: str | None) -> UserFolders:
    found = PlatformDirs("mecapy")
    return UserFolders(found.user_config_path, found.user_data_path, found.user_state_path)

"""The settings that a command starts with: what is wrong in the environment, in one line."""

from __future__ import annotations

from pydantic import ValidationError

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter.shared.errors import ConfigError


def settings() -> Settings:
    """ConfigError names each variable that is wrong, and why."""
    try:
        return Settings()
    except ValidationError as wrong:
        found = wrong.errors(include_input=False, include_url=False)
    raise ConfigError("; ".join(f"{_variable(str(one['loc'][0]))}: {one['msg']}" for one in found))


def _variable(name: str) -> str:
    return f"MECAPY_{name.upper()}" if name in Settings.model_fields else name

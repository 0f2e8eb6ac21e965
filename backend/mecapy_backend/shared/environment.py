"""The settings that a command starts with: what is wrong in the environment, in one line."""

from __future__ import annotations

import os

from pydantic import ValidationError

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter.shared.errors import ConfigError

_ADDONS = {
    "MECAPY_DATABASE_URL": ("POSTGRESQL_ADDON_URI", ""),
    "MECAPY_REDIS_URL": ("REDIS_URL", ""),
    "MECAPY_S3_ENDPOINT_URL": ("CELLAR_ADDON_HOST", "https://"),
    "AWS_ACCESS_KEY_ID": ("CELLAR_ADDON_KEY_ID", ""),
    "AWS_SECRET_ACCESS_KEY": ("CELLAR_ADDON_KEY_SECRET", ""),
}
"""What Clever Cloud's add-ons name, and what is put before it."""


def settings(database_url: str = "") -> Settings:
    """ConfigError names each variable that is wrong, and why. Where ours is not set, that of an
    add-on holds, here and for the workers that are started from here. `database_url` "": what
    is set.
    """
    for ours, (theirs, before) in _ADDONS.items():
        if not os.environ.get(ours) and (value := os.environ.get(theirs)):
            os.environ[ours] = before + value
    try:
        return Settings(database_url=database_url) if database_url else Settings()
    except ValidationError as wrong:
        found = wrong.errors(include_input=False, include_url=False)
    raise ConfigError("; ".join(f"{_variable(str(one['loc'][0]))}: {one['msg']}" for one in found))


def _variable(name: str) -> str:
    return f"MECAPY_{name.upper()}" if name in Settings.model_fields else name

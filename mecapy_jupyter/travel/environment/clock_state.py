"""The time zone and the locale: what the C library keeps for a process."""

from __future__ import annotations

import locale
import os
import time
from pathlib import Path

_ZONES = "zoneinfo/"
_CATEGORIES = ("LC_COLLATE", "LC_MONETARY", "LC_NUMERIC", "LC_TIME")


FRESH_LOCALES = dict.fromkeys(_CATEGORIES, "C")

Zone = tuple[str, tuple[str, str], int]
"""Its name, the names of the C library, and the offset to UTC in seconds."""


def zone() -> Zone | None:
    """The time zone of this process; None if its name is not known."""
    name = os.environ.get("TZ") or str(Path("/etc/localtime").resolve()).partition(_ZONES)[2]
    return (name, time.tzname, time.timezone) if name else None


def set_zone(state: Zone) -> None:
    if state[1:] != (time.tzname, time.timezone):
        os.environ["TZ"] = state[0]
        time.tzset()


def locales() -> dict[str, str]:
    """The locales by category, except characters."""
    return {name: locale.setlocale(getattr(locale, name)) for name in _CATEGORIES}


def set_locales(state: dict[str, str]) -> None:
    for name, value in state.items():
        locale.setlocale(getattr(locale, name), value)

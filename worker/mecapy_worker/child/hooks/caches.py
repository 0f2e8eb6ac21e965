"""Caches that each fork would otherwise rewrite, page by page."""

from __future__ import annotations

import sys
from typing import Any


def close_fonts() -> None:
    """Closes open fonts, which matplotlib would otherwise do in every child after the fork."""
    manager: Any = sys.modules.get("matplotlib.font_manager")  # a private name of it
    get_font = getattr(manager, "_get_font", None)
    if get_font is not None:
        get_font.cache_clear()


def clear_type_cache() -> None:
    """Clears the type cache, so that a child does not copy pages to replace entries."""
    if sys.version_info < (3, 12):  # later versions do not count the uses of a name
        sys._clear_type_cache()  # pyright: ignore[reportPrivateUsage]

"""Caches that a fork would else rewrite, page after page."""

from __future__ import annotations

import sys
from typing import Any


def close_fonts() -> None:
    """What matplotlib would else do in every child, right after the fork: throw away the fonts it
    has open.
    """
    manager: Any = sys.modules.get("matplotlib.font_manager")  # a private name of it
    get_font = getattr(manager, "_get_font", None)
    if get_font is not None:
        get_font.cache_clear()


def clear_type_cache() -> None:
    """What a child replaces in it is then nothing, and not a name on a page of its own."""
    if sys.version_info < (3, 12):  # later ones keep no count of a name's uses
        sys._clear_type_cache()  # pyright: ignore[reportPrivateUsage]

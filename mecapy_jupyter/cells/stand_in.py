"""A widget created on a worker, as this kernel holds it until the widget itself comes home, or for
good. The page shows it, also after a reload, but moving it calls nothing. Imports ipywidgets, so it
is imported with a task's first widget.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ipywidgets  # pyright: ignore[reportMissingTypeStubs]

_NAMES = ("_model_name", "_model_module", "_model_module_version", "_view_name")


class StandIn(ipywidgets.Widget):
    """`shown`: the state that the page has."""

    def __init__(self, shown: dict[str, Any]) -> None:
        self.shown = shown
        for name in _NAMES:
            if isinstance(value := shown.get(name), str):
                self.set_trait(name, value)
        super().__init__()  # pyright: ignore[reportUnknownMemberType]

    def get_state(
        self, key: str | Iterable[str] | None = None, drop_defaults: bool = False
    ) -> dict[str, Any]:
        names = self.shown if key is None else [key] if isinstance(key, str) else key
        return {name: self.shown[name] for name in names if name in self.shown}

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Ignores messages of the page."""

    def update(self, state: dict[str, Any]) -> None:
        self.shown |= state
        self.send_state(list(state))  # pyright: ignore[reportUnknownMemberType]

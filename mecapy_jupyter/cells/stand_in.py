"""A widget created on a worker, as this kernel holds it until the widget itself comes home, or for
good. The page shows it, also after a reload; what the page says to it goes to the task. Imports
ipywidgets, so it is imported with a task's first widget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets  # pyright: ignore[reportMissingTypeStubs]

Say = Callable[[dict[str, Any], Sequence[Any]], None]

_NAMES = ("_model_name", "_model_module", "_model_module_version", "_view_name")


class StandIn(ipywidgets.Widget):
    """`shown`: the state that the task has; `say`: takes what the page says."""

    def __init__(self, shown: dict[str, Any], say: Say) -> None:
        self.shown, self._say = shown, say
        for name in _NAMES:
            if isinstance(value := shown.get(name), str):
                self.set_trait(name, value)
        super().__init__()  # pyright: ignore[reportUnknownMemberType]

    def get_state(
        self, key: str | Iterable[str] | None = None, drop_defaults: bool = False
    ) -> dict[str, Any]:
        names = self.shown if key is None else [key] if isinstance(key, str) else key
        return {name: self.shown[name] for name in names if name in self.shown}

    def _handle_msg(self, msg: dict[str, Any]) -> None:
        data = msg["content"]["data"]
        if data.get("method") == "request_state":
            self.send_state()  # pyright: ignore[reportUnknownMemberType]
        else:
            self._say(data, msg.get("buffers") or ())

"""What the last line of a block says of the variables that came home."""

from __future__ import annotations

import threading
from typing import Any

from mecapy_jupyter import track
from mecapy_jupyter.results import bind


def test_what_came_back_is_what_the_cell_computed() -> None:
    """Large variables come first, with their size; modules, and what was imported from one, are not
    worth a word; own functions are.
    """

    def solve() -> None: ...

    solve.__module__ = "__main__"
    bound: dict[str, Any] = {
        "x": 1,
        "sys": threading,
        "T": bytes(12_000_000),
        "track": track,
        "Thread": threading.Thread,
        "sum": sum,
    }
    bound |= {"solve": solve, "U": bytes(99_000_000)}
    said = bind.came_back(bound | {"residuals": 1}, bind.Home(bound=bound), [*bound, "residuals"])
    assert said == ["U (99 MB)", "T (12 MB)", "x", "solve", "residuals changed"]

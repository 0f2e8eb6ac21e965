"""`%mecapy on`: every cell goes to a worker until `%mecapy off`.

Decides which cells do; IPython asks before it reads a cell. Cells that need this kernel stay: cell
magics of other languages, line magics, shell commands, help, and silent requests of a front end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mecapy_jupyter.hooks import ipykernel, ipython

HEADER = "%%mecapy --every"
_GO_ALONG = ("time", "timeit", "prun", "capture")  # their cells are Python and work on a worker too
_CELL_MAGIC = re.compile(r"%%(\w+)")
_STAYS = re.compile(
    r"\s*(?:%(?!(?:time|timeit|prun)\b)\w|!|\?|[\w.]+\s*=\s*(?:!|%(?!(?:time|timeit|prun)\b)\w)|[\w.%]+\?\??\s*$)"
)


def goes(lines: Sequence[str]) -> bool:
    """Whether a cell (its lines as written) goes to a worker."""
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not code:
        return False
    magic = _CELL_MAGIC.match(code[0])
    if magic:
        return magic[1] in _GO_ALONG and goes(code[1:])
    return not any(_STAYS.match(line) for line in code)


class EveryCell:
    """Active from its creation until `off`."""

    active: EveryCell | None = None
    """The one of this kernel."""

    def __init__(self, shell: Any, options: str) -> None:
        EveryCell.active = self
        self.options = options
        self._shell = shell
        self._inside = 1  # cells that run now, among them `%mecapy on`
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)
        shell.input_transformers_cleanup.append(self.sends)

    def off(self) -> None:
        EveryCell.active = None
        self._shell.input_transformers_cleanup.remove(self.sends)
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)

    def sends(self, lines: list[str]) -> list[str]:
        """The cell with our magic above it. Code that a running cell reads (`%time`, our own magic)
        stays as it is.
        """
        if self._inside or self._silent() or not goes(lines):
            return lines
        return [f"{HEADER} {self.options}".rstrip() + "\n", *lines]

    def _silent(self) -> bool:
        kernel = getattr(self._shell, "kernel", None)
        if kernel is None:
            return False
        content = ipykernel.request_of(kernel).get("content", {})
        return bool(content.get("silent")) or not content.get("store_history", True)

    def _begin(self, *_: object) -> None:
        self._inside += 1

    def _end(self, *_: object) -> None:
        self._inside = max(0, self._inside - 1)


ipython.only_before_a_run(EveryCell.sends)

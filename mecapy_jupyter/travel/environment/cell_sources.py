"""The text of the cells that define the notebook's functions. Tracebacks, warnings and
`inspect.getsource` on the other side read it.

Part of `prelude`.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.getipython import get_ipython

CellText = tuple[int, list[str]]
"""The cell's execution count, 0 where it has none, and its lines."""


def of(filenames: Iterable[str]) -> dict[str, CellText]:
    """Those of these files that are cells: IPython keeps their lines in `linecache`, with no time,
    and no disk holds them.
    """
    numbers, found = _numbers(), dict[str, CellText]()
    for name in filenames:
        entry = linecache.cache.get(name)
        if entry is not None and len(entry) == 4 and entry[1] is None:
            found[name] = numbers.get(name, 0), entry[2]
    return found


def put(cells: Mapping[str, CellText]) -> None:
    """From here on these cells have lines and a number here, too."""
    numbers = _numbers()
    for name, (number, lines) in cells.items():
        linecache.cache[name] = sum(map(len, lines)), None, lines, name
        if number:
            numbers[name] = number


def _numbers() -> dict[str, int]:
    """The shell's own record, from which `Cell In[5]` is made of a file's name."""
    shell: Any = get_ipython()
    return getattr(shell.compile, "_filename_map", {}) if shell is not None else {}

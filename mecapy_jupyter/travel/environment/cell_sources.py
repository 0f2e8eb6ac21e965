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
"""The cell's execution count (0 if it has none) and its lines."""


def of(filenames: Iterable[str]) -> dict[str, CellText]:
    """The files among these that are cells: IPython keeps their lines in `linecache` without a
    time, and they are not on disk.
    """
    numbers, found = _numbers(), dict[str, CellText]()
    for name in filenames:
        entry = linecache.cache.get(name)
        if entry is not None and len(entry) == 4 and entry[1] is None:
            found[name] = numbers.get(name, 0), entry[2]
    return found


def put(cells: Mapping[str, CellText]) -> None:
    """Makes the lines and numbers of these cells known in this process."""
    numbers = _numbers()
    for name, (number, lines) in cells.items():
        linecache.cache[name] = sum(map(len, lines)), None, lines, name
        if number:
            numbers[name] = number


def _numbers() -> dict[str, int]:
    """The shell's record that turns a file's name into `Cell In[5]`."""
    shell: Any = get_ipython()
    return getattr(shell.compile, "_filename_map", {}) if shell is not None else {}

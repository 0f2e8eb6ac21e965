"""The text of the cells that define the notebook's functions, and of functions that a library has
generated. Tracebacks, warnings and `inspect.getsource` on the other side read it.

Part of `prelude`, and of the functions in a result.
"""

from __future__ import annotations

import linecache
import types
import zlib
from collections.abc import Callable, Iterable, Mapping
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
        if (lines := _lines(name)) is not None:
            found[name] = numbers.get(name, 0), lines
    return found


def _lines(name: str) -> list[str] | None:
    entry = linecache.cache.get(name)
    return entry[2] if entry is not None and len(entry) == 4 and entry[1] is None else None


def put(cells: Mapping[str, CellText]) -> None:
    """Makes the lines and numbers of these cells known in this process."""
    numbers = _numbers()
    for name, (number, lines) in cells.items():
        _put(name, lines)
        if number:
            numbers[name] = number


def _put(name: str, lines: list[str]) -> None:
    linecache.cache[name] = sum(map(len, lines)), None, lines, name


def with_lines(function: types.FunctionType, reduced: Any) -> Any:
    """How to pickle a function: one of a text that a library has generated, as that of
    `sympy.lambdify`, brings its lines.
    """
    name = function.__code__.co_filename
    if not name.startswith("<") or name.startswith("<ipython-input-"):
        return reduced
    if (lines := _lines(name)) is None:
        return reduced
    make, (code, *rest), *more = reduced
    return _made_with_lines, (lines, make, code, *rest), *more


def _made_with_lines(
    lines: list[str], make: Callable[..., Any], code: types.CodeType, *rest: Any
) -> Any:
    """Under a name of this text alone: each process counts its own, and would put another there."""
    mark = f" {zlib.crc32(''.join(lines).encode('utf-8', 'surrogatepass')):08x}>"
    name = code.co_filename
    if not name.endswith(mark):
        name = f"{name.removesuffix('>')}{mark}"
    _put(name, lines)
    return make(_renamed(code, code.co_filename, name), *rest)


def _renamed(code: types.CodeType, old: str, new: str) -> types.CodeType:
    """With the functions that it makes."""
    parts = tuple(
        _renamed(one, old, new) if isinstance(one, types.CodeType) else one
        for one in code.co_consts
    )
    return code.replace(co_consts=parts, co_filename=new if code.co_filename == old else old)


def _numbers() -> dict[str, int]:
    """The shell's record that turns a file's name into `Cell In[5]`."""
    shell: Any = get_ipython()
    return getattr(shell.compile, "_filename_map", {}) if shell is not None else {}

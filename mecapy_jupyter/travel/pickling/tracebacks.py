"""A traceback as plain data (a trail), and back: files, lines, columns and names, without code and
variables. A frame cannot be made, only left behind: each is that of a `raise` placed on its line.
"""

from __future__ import annotations

import ast
import itertools
import types
from collections.abc import Callable
from types import TracebackType
from typing import TypedDict, cast

_ENDS = 50  # how many first and last frames of a deep recursion are kept
_BYTES_OF_AN_INSTRUCTION = 2
_NO_COLUMN = -1


class _TrailCode(TypedDict):
    co_filename: str
    co_name: str
    co_qualname: str


class _TrailFrame(TypedDict):
    f_globals: dict[str, str]
    f_locals: dict[str, object]
    f_code: _TrailCode
    f_lineno: int


_Positions = tuple[int | None, int | None, int | None, int | None]
"""First and last line, first and last column."""
_NOWHERE: _Positions = (None, None, None, None)


class Trail(TypedDict):
    """Named as the objects are. `f_locals` stays empty; versions before have no `positions`."""

    tb_frame: _TrailFrame
    tb_lineno: int
    tb_next: Trail | None
    positions: _Positions


def of(traceback: TracebackType) -> Trail:
    """The trail of a traceback."""
    steps: list[TracebackType] = []
    step: TracebackType | None = traceback
    while step is not None:
        steps.append(step)
        step = step.tb_next
    if len(steps) > 2 * _ENDS:
        steps = steps[:_ENDS] + steps[-_ENDS:]
    trail: Trail | None = None
    for step in reversed(steps):
        trail = _of_one(step, trail)
    return cast("Trail", trail)


def _of_one(step: TracebackType, following: Trail | None) -> Trail:
    frame, code = step.tb_frame, step.tb_frame.f_code
    known = {
        name: held
        for name in ("__name__", "__file__")
        if isinstance(held := frame.f_globals.get(name), str)
    }
    here: _TrailCode = {
        "co_filename": code.co_filename,
        "co_name": code.co_name,
        "co_qualname": code.co_qualname,
    }
    number = max(step.tb_lasti, 0) // _BYTES_OF_AN_INSTRUCTION
    positions = next(itertools.islice(code.co_positions(), number, None), _NOWHERE)
    return {
        "tb_frame": {
            "f_globals": known, "f_locals": {}, "f_code": here, "f_lineno": step.tb_lineno
        },
        "tb_lineno": step.tb_lineno,
        "tb_next": following,
        "positions": positions,
    }  # fmt: skip


def at(filename: str, lineno: int) -> TracebackType:
    """A traceback that leads to a top-level line of a cell."""
    names = {"__name__": "__main__", "__file__": filename}
    return _left_behind(filename, "<module>", "<module>", lineno, _NOWHERE, names, None)


def renamed(trail: Trail, rename: Callable[[str], str]) -> Trail:
    """The trail with file names changed by `rename`."""
    frame, following = trail["tb_frame"], trail["tb_next"]
    name = rename(frame["f_code"]["co_filename"])
    return {
        **trail,
        "tb_frame": {**frame, "f_code": {**frame["f_code"], "co_filename": name}},
        "tb_next": renamed(following, rename) if following else None,
    }


def traceback(trail: Trail) -> TracebackType:
    """A traceback from a trail."""
    frame, following = trail["tb_frame"], trail["tb_next"]
    code = frame["f_code"]
    return _left_behind(
        code["co_filename"],
        code["co_name"],
        code.get("co_qualname", code["co_name"]),
        trail["tb_lineno"],
        trail.get("positions", _NOWHERE),
        dict(frame["f_globals"]),
        traceback(following) if following else None,
    )


def _left_behind(
    filename: str,
    name: str,
    qualname: str,
    lineno: int,
    positions: _Positions,
    names: dict[str, str],
    following: TracebackType | None,
) -> TracebackType:
    code = _raising(filename, lineno, positions).replace(co_name=name, co_qualname=qualname)
    try:
        exec(code, {**names, "_Here": _Here})  # our own line, not the user's
    except _Here as here:
        made = cast("TracebackType", cast("TracebackType", here.__traceback__).tb_next)
        return TracebackType(following, made.tb_frame, made.tb_lasti, lineno)
    raise AssertionError("a raise raises")


class _Here(Exception): ...


def _raising(filename: str, lineno: int, positions: _Positions) -> types.CodeType:
    """`raise`, placed there. Its code begins at line 1 like a cell's, because IPython counts from
    there.
    """
    line, last_line, column, last_column = positions
    tree = ast.parse("raise _Here")
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.expr)):
            node.lineno, node.end_lineno = line or lineno, last_line or lineno
            node.col_offset = _NO_COLUMN if column is None else column
            node.end_col_offset = _NO_COLUMN if last_column is None else last_column
    return compile(tree, filename, "exec")

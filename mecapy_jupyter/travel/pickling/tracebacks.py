"""A traceback as plain data (a trail), and back. The only module that uses tblib."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, cast

from tblib import Traceback

_ENDS = 50  # how many first and last frames of a deep recursion are kept


def of(traceback: TracebackType) -> dict[str, Any]:
    """The trail of a traceback: files, lines and names, without code and variables."""
    steps: list[TracebackType] = []
    step: TracebackType | None = traceback
    while step is not None:
        steps.append(step)
        step = step.tb_next
    if len(steps) > 2 * _ENDS:
        steps = steps[:_ENDS] + steps[-_ENDS:]
    trail: dict[str, Any] | None = None
    for step in reversed(steps):
        trail = Traceback(_alone(step)).as_dict() | {"tb_next": trail}
    return cast("dict[str, Any]", trail)


def _alone(step: TracebackType) -> TracebackType:
    return TracebackType(None, step.tb_frame, step.tb_lasti, step.tb_lineno)


def at(filename: str, lineno: int) -> TracebackType | None:
    """A traceback that leads to a top-level line of a cell. Its code begins at line 1 like a
    cell's, because IPython counts from there.
    """
    code = compile("\n" * (lineno - 1) + "raise Here", filename, "exec")

    class Here(Exception):
        pass

    try:
        exec(
            code, {"__name__": "__main__", "__file__": filename, "Here": Here}
        )  # our own line, not the user's
    except Here as here:
        return here.__traceback__.tb_next if here.__traceback__ else None


def renamed(trail: dict[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    """The trail with file names changed by `rename`."""
    code = trail["tb_frame"]["f_code"]
    frame = trail["tb_frame"] | {"f_code": code | {"co_filename": rename(code["co_filename"])}}
    following = trail["tb_next"]
    return trail | {"tb_frame": frame, "tb_next": renamed(following, rename) if following else None}


def traceback(trail: dict[str, Any]) -> TracebackType | None:
    """A traceback from a trail."""
    return Traceback.from_dict(trail).as_traceback()

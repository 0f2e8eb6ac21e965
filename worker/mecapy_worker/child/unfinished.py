"""Threads, processes and asyncio tasks that a cell started and did not wait for. They end with the
cell, and one line per kind reports them.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from mecapy_jupyter.shared.units import listed
from mecapy_worker.child.imports import is_users

_were: set[int] = set()


def begin() -> None:
    """Before the cell: what runs now does not belong to it."""
    _were.clear()
    _were.update(id(thread) for thread in threading.enumerate())


def said(loop: asyncio.AbstractEventLoop | None) -> Iterator[str]:
    """One sentence for each kind that still runs. `loop`: the cell's event loop."""
    begun = [thread for thread in threading.enumerate() if id(thread) not in _were]
    frames = sys._current_frames() if begun else {}  # pyright: ignore[reportPrivateUsage]
    working = [thread for thread in begun if _works(thread, frames.get(thread.ident or 0))]
    if working:
        yield _sentence("thread", [thread.name for thread in working], "`.join()` it, or take the "
                        "`.result()` of its future, in the cell")  # fmt: skip
    if processes := _processes():
        yield _sentence("process", [one.name for one in processes], "`.join()` it in the cell")
    if loop is not None and (tasks := [t for t in asyncio.all_tasks(loop) if not t.done()]):
        names = [getattr(task.get_coro(), "__name__", task.get_name()) for task in tasks]
        yield _sentence("asyncio task", names, "`await` it in the cell")


def _processes() -> list[Any]:
    module: Any = sys.modules.get("multiprocessing.process")
    return module.active_children() if module else []


def _sentence(kind: str, names: list[str], todo: str) -> str:
    plural, were = ("", "was") if len(names) == 1 else ("es" if kind[-1] == "s" else "s", "were")
    return (
        f"the cell ended while its {kind}{plural} {listed(names)} {were} still "
        f"running: what they do from now on is lost; {todo}"
    )


def _works(thread: threading.Thread, frame: FrameType | None) -> bool:
    """Whether it runs code of the user's, or is non-daemonic and runs a library's. An executor's
    waiting worker does neither.
    """
    if not thread.is_alive() or frame is None:
        return False
    target: Any = getattr(thread, "_target", None)  # kept while it runs
    is_pooled = getattr(target, "__module__", "") == "concurrent.futures.thread"
    frames = list(_up(frame))
    if any(is_users(str(each.f_globals.get("__name__", ""))) for each in frames):
        return True
    return not thread.daemon and not (is_pooled and frames[0].f_code.co_name == "_worker")


def _up(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back

"""The line at which a task crashed or had to be stopped: the child writes it into a file, and the
worker reads it when the child is dead. `faulthandler` writes it from inside the signal, so it also
works in native code. The child calls `keep` and `note`, the worker `line_of`. The file is the
child's, so only a valid line number is taken from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import re
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from mecapy_jupyter.wire import Cell

ASK = signal.SIGUSR1
_ASKED_S, _LOOK_S = 1.5, 0.01
"""A child that is asked has answered after this, or will not. Most do at once; on a busy machine
one waits for its turn, or for memory.
"""

NAME = ".where"
_WRITTEN = re.compile(rb'File "<string>", line \d+ in <module>|^  \.\.\.$', re.MULTILINE)
"""The outermost step of every child, which the zygote's own beginning is; or that there are more
steps than it writes.
"""
_place = ""
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
# the cell's class may have another idea of it
_trace_of: Callable[[BaseException], TracebackType | None] = BaseException.__dict__[
    "__traceback__"
].__get__
_MOST_BYTES, _MOST_NOTED_BYTES = 64 * 1024, 16 * 1024
_UNNAMED = rb"<ipython-input-[^\"]*"
_PARTS = rb"<ipython-input-[^\"]*|<timed exec>|<timed eval>"
"""What IPython calls the part of a cell below its `%%magic`, where it runs that itself."""


def keep(outbox: str) -> None:
    """Let a crash, or `ASK`, leave the main thread's stack in the outbox."""
    global _place
    _place = f"{outbox}/{NAME}"
    fd = os.open(_place, os.O_CREAT | _APPEND, 0o600)  # open for as long as we live
    faulthandler.enable(fd, all_threads=False)
    faulthandler.register(ASK, fd, all_threads=False)


def note(error: BaseException) -> None:
    """Record where an error arose, because showing it may take longer than the task still has,
    above all if it holds all its memory.
    """
    steps = [
        f'Raised in "{frame.f_code.co_filename}", line {line} \n'
        for frame, line in traceback.walk_tb(_trace_of(error))
    ]
    # The cell may have removed it. Opened by name, because our descriptor's number may now be the
    # cell's.
    with contextlib.suppress(OSError):
        fd = os.open(_place, _APPEND)
        try:
            os.write(
                fd, "".join(reversed(steps)).encode("ascii", "backslashreplace")[:_MOST_NOTED_BYTES]
            )
        finally:
            os.close(fd)


async def answered(outbox: Path) -> None:
    """Wait until a child that was asked has answered."""
    for _ in range(round(_ASKED_S / _LOOK_S)):
        await asyncio.sleep(_LOOK_S)
        if _WRITTEN.search(_said(outbox)):  # it writes in steps, and may wait between two of them
            return await asyncio.sleep(_LOOK_S)


def line_of(outbox: Path, code: str, cell: Cell | None) -> int | None:
    """The last known line of the task's cell, as the user counts it; None if unknown."""
    cell = cell or Cell()
    filename, above, magics = cell.filename, int(bool(cell.header)), _magics(code)
    # As faulthandler writes it.
    name = re.escape(filename.encode("ascii", "backslashreplace")) if filename else _UNNAMED
    part = _PARTS if filename and magics else b"(?!)"
    step, text = rb'%b "(?:(%b)|%b)", line (\d{1,9}) ', _said(outbox)
    found = re.search(step % (b"File", part, name), text) or re.search(
        step % (b"Raised in", part, name), text
    )
    if found is None:
        return None
    # The cell was run without the line above it, and the part below magics without these.
    return int(found[2]) + above + (magics if found[1] else 0)


def _said(outbox: Path) -> bytes:
    # The path may be anything: a folder, or a pipe without a writer.
    with contextlib.suppress(OSError):
        fd = os.open(outbox / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.read(fd, _MOST_BYTES)
        finally:
            os.close(fd)
    return b""


def _magics(code: str) -> int:
    """The number of `%%magics` lines at the beginning, with the empty lines around them."""
    if not code.lstrip().startswith("%%"):
        return 0
    lines = code.splitlines()
    return next(
        (
            number
            for number, line in enumerate(lines)
            if line.strip() and not line.lstrip().startswith("%%")
        ),
        len(lines),
    )

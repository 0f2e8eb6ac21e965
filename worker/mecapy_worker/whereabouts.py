"""Which line a task was at when it crashed or had to be stopped: said by the child into a file, read by the worker once it is dead.

`faulthandler` writes it from inside the signal, so it also works in native code. In the child: `keep`, from `cradle`; in the worker:
`line_of`, from `outcome`. The file is the child's: what stands in it is checked, and a line number is all that is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ASK = signal.SIGUSR1
_ASKED_S, _LOOK_S = 1.5, 0.01
"""A child that is asked has answered after this, or will not. Most do at once; on a busy machine one waits for its turn, or for memory."""

NAME = ".where"
_MOST_BYTES = 64 * 1024
_UNNAMED = rb"<ipython-input-[^\"]*"
_PARTS = rb"<ipython-input-[^\"]*|<timed exec>|<timed eval>"
"""What IPython calls the part of a cell below its `%%magic`, where it runs that itself."""


def keep(outbox: str) -> None:
    """From here on a crash, or `ASK`, leaves the main thread's stack in the outbox."""
    fd = os.open(f"{outbox}/{NAME}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)  # open for as long as we live
    faulthandler.enable(fd, all_threads=False)
    faulthandler.register(ASK, fd, all_threads=False)


async def answered(outbox: Path) -> None:
    """Until a child that was asked has answered."""
    for _ in range(round(_ASKED_S / _LOOK_S)):
        await asyncio.sleep(_LOOK_S)
        with contextlib.suppress(OSError):
            if (outbox / NAME).lstat().st_size:
                return await asyncio.sleep(2 * _LOOK_S)  # it writes frame by frame


def line_of(outbox: Path, request: Mapping[str, Any]) -> int | None:
    """The line of the cell that was last seen to run, as the user counts it; None when nothing is known. `request`: the task's."""
    cell: dict[str, Any] = request.get("cell") or {}
    filename, above, magics = cell.get("filename", ""), int(bool(cell.get("header"))), _magics(request["code"])
    name = re.escape(filename.encode("ascii", "backslashreplace")) if filename else _UNNAMED  # as faulthandler writes it
    part = _PARTS if filename and magics else b"(?!)"
    with contextlib.suppress(OSError):
        handle = os.open(outbox / NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            found = re.search(rb'File "(?:(%b)|%b)", line (\d{1,9}) ' % (part, name), file.read(_MOST_BYTES))
        if found:  # a cell that begins with a magic was run without the line above it, and the part below without the magics
            return int(found[2]) + (above if magics else 0) + (magics if found[1] else 0)
    return None


def _magics(code: str) -> int:
    """How many lines at the beginning are `%%magics`, with the empty ones around them; 0 where there are none."""
    if not code.lstrip().startswith("%%"):
        return 0
    lines = code.splitlines()
    return next((number for number, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("%%")), len(lines))

"""Makes IPython look like a notebook's kernel where its public interface is a terminal's."""

from __future__ import annotations

import linecache
import warnings
from types import CodeType, FrameType
from typing import Any

from IPython.core import interactiveshell, ultratb
from IPython.core.ultratb import FrameInfo  # pyright: ignore[reportPrivateImportUsage]

KERNEL_SHELL = "ZMQInteractiveShell"
"""The name of a kernel's shell class, by which pandas, rich and others detect a notebook. plotly
checks its module too.
"""

KERNEL_MODULE = "ipykernel.zmqshell"


def install(shell_class: type[interactiveshell.InteractiveShell]) -> None:
    shell_class.__name__ = shell_class.__qualname__ = KERNEL_SHELL
    shell_class.__module__ = KERNEL_MODULE
    interactiveshell.warn = _warn  # pyright: ignore[reportPrivateImportUsage]
    ultratb.get_line_number_of_frame = _lines_of  # pyright: ignore[reportPrivateImportUsage]
    ultratb.FrameInfo = _CountedFrame  # pyright: ignore[reportPrivateImportUsage]


def count_below(filename: str, header: str) -> None:
    """From here on the traceback of a failed cell counts the lines of this file as the notebook
    does, where `header` is line 1. The cell itself sees the lines without `%%mecapy`.
    """
    _below[:] = [(filename, header)] if header else []


_below: list[tuple[str, str]] = []


class _CountedLine:
    """One line of source, below the header."""

    def __init__(self, line: Any = None) -> None:
        self._line = line
        self.lineno = 1 if line is None else line.lineno + 1
        self.is_current = line is not None and line.is_current

    def render(self, **options: Any) -> str:
        return _below[0][1] if self._line is None else str(self._line.render(**options))


class _CountedFrame(FrameInfo):
    """One step of a traceback as IPython shows it."""

    def __init__(
        self,
        description: str | None,
        filename: str,
        lineno: int,
        frame: Any,
        code: CodeType | None,
        **options: Any,
    ) -> None:
        super().__init__(description, filename, lineno, frame, code, **options)
        self._is_below = bool(_below and filename == _below[0][0] and options.get("sd"))
        if self._is_below:
            self.lineno += 1

    @property
    def lines(self) -> list[Any]:
        lines = super().lines
        if not self._is_below:
            return lines
        counted = [_CountedLine(one) if hasattr(one, "lineno") else one for one in lines]
        return [_CountedLine(), *counted] if lines and lines[0].lineno == 1 else counted


def _warn(message: str, category: type[Warning] | None = None, stacklevel: int = 1) -> None:
    """IPython's own warnings. The advice on leaving a notebook appears where the SystemExit
    arrives.
    """
    if not message.startswith("To exit:"):
        warnings.warn(message, category, stacklevel + 1)


def _lines_of(frame: FrameType) -> int:
    """The length of a frame's file. IPython looks on disk, finds no cell there, and would show only
    the line itself.
    """
    return len(linecache.getlines(frame.f_code.co_filename))

"""IPython as a notebook's kernel has it, where its public face is a terminal's."""

from __future__ import annotations

import linecache
import warnings
from types import FrameType

from IPython.core import interactiveshell, ultratb

KERNEL_SHELL = "ZMQInteractiveShell"
"""The name of a kernel's shell class: pandas, rich and many a recipe ask for it, to show what a
page can show. plotly looks at its module, too.
"""

KERNEL_MODULE = "ipykernel.zmqshell"


def install(shell_class: type[interactiveshell.InteractiveShell]) -> None:
    shell_class.__name__ = shell_class.__qualname__ = KERNEL_SHELL
    shell_class.__module__ = KERNEL_MODULE
    interactiveshell.warn = _warn  # pyright: ignore[reportPrivateImportUsage]
    ultratb.get_line_number_of_frame = _lines_of  # pyright: ignore[reportPrivateImportUsage]


def _warn(message: str, category: type[Warning] | None = None, stacklevel: int = 1) -> None:
    """IPython's own warnings. How to leave a notebook is said where the SystemExit arrives."""
    if not message.startswith("To exit:"):
        warnings.warn(message, category, stacklevel + 1)


def _lines_of(frame: FrameType) -> int:
    """How long a frame's file is. IPython looks on the disk, finds no cell there, and renders it
    without what surrounds the line.
    """
    return len(linecache.getlines(frame.f_code.co_filename))

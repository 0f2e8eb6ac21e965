"""Our version, from one place, and the part of Python's that notebook and worker must share."""

from __future__ import annotations

import platform

__version__ = "0.1.0"


def minor(python: str = "") -> str:
    """The part of a Python version ("3.12.1") that decides whether pickles open: "3.12". Without
    one: this process's.
    """
    return ".".join((python or platform.python_version()).split(".")[:2])

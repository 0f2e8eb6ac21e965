"""Our version, from one place, and the part of Python's that notebook and worker must share."""

from __future__ import annotations

import platform

__version__ = "0.1.0"


def minor(python: str = "") -> str:
    """Of a Python version, as "3.12.1", what decides whether pickles can be opened: "3.12".
    Without one: this process's.
    """
    return ".".join((python or platform.python_version()).split(".")[:2])

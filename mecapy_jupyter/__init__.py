"""MecaPy: write `%%mecapy` on the first line of a heavy notebook cell and it runs on a shared pool of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .client import Client, Task
    from .errors import MecapyError
    from .ipython import Shell

__all__ = ["Client", "MecapyError", "Task", "__version__", "load_ipython_extension"]


def load_ipython_extension(shell: Shell) -> None:
    """`%load_ext mecapy_jupyter`."""
    from .magic import register  # late: importing the package must not cost what a notebook needs

    register(shell)


def __getattr__(name: str) -> Any:
    if name in ("Client", "Task"):
        from . import client

        return getattr(client, name)
    if name == "MecapyError":
        from .errors import MecapyError

        return MecapyError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""MecaPy: write `%%mecapy` on the first line of a heavy notebook cell and it runs on a shared pool
of workers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mecapy_jupyter.shared.version import __version__

if TYPE_CHECKING:
    from mecapy_jupyter.cells.ipython_types import Shell
    from mecapy_jupyter.client.client import Client
    from mecapy_jupyter.client.task import Task
    from mecapy_jupyter.client.workflow import workflow
    from mecapy_jupyter.parameter_sweep import sweep, sweeps
    from mecapy_jupyter.remote_function import remote
    from mecapy_jupyter.shared.errors import MecapyError
    from mecapy_jupyter.travel.checkpoints import checkpoint, restored
    from mecapy_jupyter.travel.loop_progress import progress, track

__all__ = [
    "Client",
    "MecapyError",
    "Task",
    "__version__",
    "checkpoint",
    "load_ipython_extension",
    "progress",
    "remote",
    "restored",
    "sweep",
    "sweeps",
    "track",
    "workflow",
]


def load_ipython_extension(shell: Shell) -> None:
    """`%load_ext mecapy_jupyter`."""
    # late: importing the package must not cost what a notebook needs
    from mecapy_jupyter.magic import register

    register(shell)


def _jupyter_server_extension_points() -> list[dict[str, str]]:  # pyright: ignore[reportUnusedFunction]  (Jupyter calls it)
    """Names our Jupyter server extension. Imports nothing."""
    return [{"module": "mecapy_jupyter.extension"}]


def _show_locally(fraction: float | None, text: str) -> None:
    """Imported late, because it brings the live block along, which a task does not need."""
    from mecapy_jupyter.block import local_bar

    local_bar.show(fraction, text)


_HOMES = {
    "Client": "client.client",
    "MecapyError": "shared.errors",
    "Task": "client.client",
    "checkpoint": "travel.checkpoints",
    "progress": "travel.loop_progress",
    "remote": "remote_function",
    "restored": "travel.checkpoints",
    "sweep": "parameter_sweep",
    "sweeps": "parameter_sweep",
    "track": "travel.loop_progress",
    "workflow": "client.workflow",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("mecapy_jupyter.errors")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    if name in ("progress", "track"):
        home.show_here(_show_locally)
    return getattr(home, name)

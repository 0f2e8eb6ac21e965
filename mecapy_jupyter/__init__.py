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


def __getattr__(name: str) -> Any:
    if name in ("Client", "Task"):
        from mecapy_jupyter.client import client

        return getattr(client, name)
    if name in ("progress", "track"):
        from mecapy_jupyter.travel import loop_progress

        loop_progress.show_here(_show_locally)
        return getattr(loop_progress, name)
    if name in ("checkpoint", "restored"):
        return getattr(import_module("mecapy_jupyter.travel.checkpoints"), name)
    if name == "remote":
        from mecapy_jupyter.remote_function import remote

        return remote
    if name == "workflow":
        return import_module("mecapy_jupyter.client.workflow").workflow
    if name in ("sweep", "sweeps"):
        return getattr(import_module("mecapy_jupyter.parameter_sweep"), name)
    if name == "MecapyError":
        from mecapy_jupyter.shared.errors import MecapyError

        return MecapyError
    if name == "errors":
        return import_module("mecapy_jupyter.errors")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

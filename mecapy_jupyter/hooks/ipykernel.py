"""ipykernel's control channel, the request that a kernel works on, and its outputs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

Handler = Callable[..., Awaitable[None] | None]


def control_handlers(kernel: object) -> dict[str, Handler] | None:
    """Type of message → its handler. None if the kernel does not read its control channel in a
    separate thread: then no message would arrive while a cell runs.
    """
    handlers = getattr(kernel, "control_handlers", None)
    if not isinstance(handlers, dict) or getattr(kernel, "control_thread", None) is None:
        return None
    return cast("dict[str, Handler]", handlers)


def before_handling(handlers: dict[str, Handler], message: str, act: Callable[[], object]) -> bool:
    """Call `act` before each message of this type is handled; once, however often this is called.
    False: the kernel handles no such message.
    """
    if (handle := handlers.get(message)) is None:
        return False
    if not isinstance(handle, _First):
        handlers[message] = _First(act, handle)
    return True


class _First:
    """A handler that acts first."""

    def __init__(self, act: Callable[[], object], handle: Handler) -> None:
        self._act, self._handle = act, handle

    async def __call__(self, *arguments: object) -> None:
        self._act()
        handled = self._handle(*arguments)
        if handled is not None:
            await handled


def request_of(kernel: Any) -> Mapping[str, Any]:
    """The request of the cell that runs."""
    request: dict[str, Any] | None = kernel.get_parent()  # none before the first
    return request or {}


def stay_busy(kernel: Any) -> None:
    """Say once more that a cell runs: a message on the control channel, as JupyterLab sends with
    each widget, ends with "idle", and the status bar believes it.
    """
    kernel.session.send(
        kernel.iopub_socket,
        "status",
        {"execution_state": "busy"},
        parent=request_of(kernel),
        ident=b"kernel.status",
    )


def heard_while_busy(comm: Any, *, heard: bool) -> None:
    """Whether a page's messages to a comm come in the subshell that the page asked for. ipykernel
    7.4 sends them to the loop that used the comm last, which a running cell blocks.
    """
    if heard and hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = _as_asked
    elif not heard and comm is not None:
        cast("dict[str, object]", vars(comm)).pop("_reply_subshell_for", None)


def _as_asked(_data: object, subshell_id: str | None) -> str | None:
    return subshell_id


def cell_of(shell: object) -> str:
    """The id of the cell that runs, as JupyterLab and Notebook send it along; else empty."""
    kernel = getattr(shell, "kernel", None)
    return str(request_of(kernel).get("metadata", {}).get("cellId", "")) if kernel else ""


def send_output(
    kernel: Any, kind: str, content: Mapping[str, Any] | None, request: Mapping[str, Any]
) -> None:
    """Publish an output of the cell that `request` runs, or ran."""
    kernel.session.send(kernel.iopub_socket, kind, content, parent=request, ident=kind.encode())

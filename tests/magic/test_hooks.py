"""What the kernel's side bends in IPython and ipykernel is still there: each test fails when the
library moves it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelbase import Kernel as KernelBase
from IPython.core.displayhook import DisplayHook
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell

from mecapy_jupyter.hooks import ipykernel, ipython

from .conftest import Kernel


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_a_kernel_reads_its_control_channel_in_a_thread(kernel: Kernel) -> None:
    """With a table of handlers, in which the request to shut down has one."""
    said = kernel.run(
        "from mecapy_jupyter.hooks import ipykernel as _hooks\n"
        "_kernel = get_ipython().kernel\n"
        "_handlers = _hooks.control_handlers(_kernel)\n"
        "print(_handlers is _kernel.control_handlers, 'shutdown_request' in _handlers)\n"
        "print(_hooks.request_of(_kernel)['content']['silent'], _kernel.control_thread.is_alive())"
    )
    assert said.stdout == "True True\nFalse True\n"


async def test_a_handler_may_be_any_callable_that_is_awaited() -> None:
    """What acts before a handler stands in its place, once, and passes all on."""
    heard = list[object]()

    async def handle(*arguments: object) -> None:
        heard.append(arguments)

    handlers: dict[str, ipykernel.Handler] = {"shutdown_request": handle}
    for _ in range(2):
        assert ipykernel.before_handling(
            handlers, "shutdown_request", lambda: heard.append("before")
        )
    assert not ipykernel.before_handling(handlers, "no_such_request", lambda: None)
    handled = handlers["shutdown_request"]("stream", "ident", "message")
    assert handled is not None
    await handled
    assert heard == ["before", ("stream", "ident", "message")]
    assert "isawaitable(" in inspect.getsource(KernelBase.process_control)


def test_a_kernel_publishes_by_its_session() -> None:
    """On `iopub_socket`, with the request as the parent."""
    assert hasattr(IPythonKernel, "iopub_socket") and hasattr(IPythonKernel, "session")
    assert "self.session.send(" in inspect.getsource(KernelBase)
    from jupyter_client.session import Session

    assert parameters(Session.send)[1:6] == ["stream", "msg_or_type", "content", "parent", "ident"]


def test_ipython_asks_an_exception_for_its_lines() -> None:
    """`_render_traceback_`, before it renders the stack; the two methods we replace once are those
    that it calls.
    """
    shown = inspect.getsource(InteractiveShell.showtraceback)
    assert "_render_traceback_()" in shown and "self.showsyntaxerror(" in shown
    assert parameters(InteractiveShell.showsyntaxerror)[1:] == ["filename", "running_compiled_code"]
    error = ipython.show_as(ValueError("x"), ["one line"])
    assert ipython.shows_itself(error) and ipython.lines_of(error) == ["one line"]
    assert ipython.lines_of(ValueError("x")) == ["ValueError: x"]


def test_a_result_is_shown_in_steps() -> None:
    """Those that we take one by one are those that `DisplayHook.__call__` takes."""
    called = inspect.getsource(DisplayHook.__call__)
    for step in (
        "check_for_underscore", "start_displayhook", "write_output_prompt", "write_format_data",
        "update_user_ns", "fill_exec_result", "log_output", "finish_displayhook",
    ):  # fmt: skip
        assert f"self.{step}(" in called, step


def test_a_transformer_can_stay_out_of_a_look() -> None:
    """One with side effects is not asked whether a cell is complete."""

    def transform(lines: list[str]) -> list[str]:
        raise AssertionError("asked in a look")

    ipython.only_before_a_run(transform)
    manager = TransformerManager()
    manager.cleanup_transforms.append(transform)
    assert manager.check_complete("x = 1\n")[0] == "complete"

"""IPython's private ways to show an error or a result, where it has no public one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol


class ResultHook(Protocol):
    """IPython's `DisplayHook`, whose steps its `__call__` takes one after another."""

    def start_displayhook(self) -> None: ...

    def write_output_prompt(self) -> None: ...

    def write_format_data(
        self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None
    ) -> None: ...

    def log_output(self, format_dict: dict[str, Any]) -> None: ...

    def finish_displayhook(self) -> None: ...

    def check_for_underscore(self) -> None: ...

    def update_user_ns(self, result: Any) -> None: ...

    def fill_exec_result(self, result: Any) -> None: ...


def show_as(exception: BaseException, lines: Sequence[str]) -> BaseException:
    """Let IPython show `lines` for this exception: it takes them from `_render_traceback_` instead
    of rendering the stack.
    """
    # an exception class with __slots__ is shown the long way
    with contextlib.suppress(AttributeError, TypeError):
        exception._render_traceback_ = lambda: list(lines)  # pyright: ignore[reportAttributeAccessIssue]
    return exception


def shows_itself(exception: BaseException) -> bool:
    return hasattr(exception, "_render_traceback_")


def lines_of(exception: BaseException) -> list[str]:
    """The lines that `show_as` has set; otherwise the exception's one line."""
    plain = f"{type(exception).__name__}: {exception}"
    return getattr(exception, "_render_traceback_", lambda: [plain])()


def show_group_as(shell: Any, group: BaseException, lines: Sequence[str]) -> None:
    """IPython prints an exception group with the stack above it and offers no other rendering, so
    print `lines` instead, once.
    """

    def show(*args: Any, **kwargs: Any) -> None:
        del shell.showtraceback
        if sys.exc_info()[1] is group:
            shell.get_exception_only()  # sets `sys.last_value`, for `%tb` and later cells
            print("".join(lines), end="", file=sys.stderr)
        else:  # the notebook caught the group; this is another error
            shell.showtraceback(*args, **kwargs)

    shell.showtraceback = show


def show_syntax_error_without_stack(shell: Any) -> None:
    """Once: IPython shows a SyntaxError raised while a cell runs with the stack above it, and
    offers no other rendering.
    """

    def show(filename: str | None = None, running_compiled_code: bool = False) -> None:
        del shell.showsyntaxerror
        shell.showsyntaxerror(filename)

    shell.showsyntaxerror = show


def show_result(hook: ResultHook, data: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Show it as Out[n]; `remember_result` gives the value."""
    hook.start_displayhook()
    hook.write_output_prompt()
    hook.write_format_data(data, metadata)
    hook.log_output(data)
    hook.finish_displayhook()


def remember_result(hook: ResultHook, value: object) -> None:
    """Let `Out[n]`, `_` and `_n` be this value."""
    hook.check_for_underscore()
    hook.update_user_ns(value)
    hook.fill_exec_result(value)


def only_before_a_run(transform: Callable[..., list[str]]) -> None:
    """Mark a function that transforms cells, so that IPython leaves it out when it only checks
    whether a cell is complete.
    """
    transform.has_side_effects = True  # pyright: ignore[reportFunctionMemberAccess]

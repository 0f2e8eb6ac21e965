"""The parts of IPython that MecaPy uses, as types, because IPython's own are incomplete. Holds no
code that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from mecapy_jupyter.hooks.ipython import ResultHook


class Publisher(Protocol):
    """Where displays go."""

    def publish(
        self, data: dict[str, Any], metadata: dict[str, Any] | None = None, **more: Any
    ) -> None: ...

    def clear_output(self, wait: bool = False) -> None: ...


class CountingHook(ResultHook, Protocol):
    """Shows the value of a cell as Out[n] and remembers it."""

    @property
    def prompt_count(self) -> int: ...


class Compiler(Protocol):
    """Knows the sources of all cells."""

    flags: int

    def cache(self, transformed_code: str, number: int = 0, raw_code: str | None = None) -> str: ...


class Executed(Protocol):
    """How a cell ended that IPython ran: `run_cell`."""

    result: Any
    error_before_exec: BaseException | None
    error_in_exec: BaseException | None


class Shell(Protocol):
    """The notebook's InteractiveShell. `user_ns`: its variables."""

    user_ns_hidden: dict[str, Any]
    events: Any
    input_transformers_cleanup: list[Callable[[list[str]], list[str]]]
    InteractiveTB: Any

    @property
    def user_ns(self) -> dict[str, Any]: ...

    @property
    def compile(self) -> Compiler: ...

    @property
    def displayhook(self) -> CountingHook: ...

    @property
    def display_pub(self) -> Publisher: ...

    def run_cell(self, raw_cell: str, store_history: bool = False) -> Executed: ...

    def transform_cell(self, raw_cell: str) -> str: ...

    def set_hook(self, name: str, hook: Callable[..., Any], *, str_key: str) -> None: ...

    def showsyntaxerror(self, filename: str | None = None) -> None: ...

    def register_magic_function(
        self, func: Callable[..., Any], magic_kind: str = "line", magic_name: str | None = None
    ) -> None: ...

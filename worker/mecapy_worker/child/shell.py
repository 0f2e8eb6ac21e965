"""IPython in a task: a kernel's shell whose prints, displays and results become frames. Created
once in the zygote (`build`), connected in the child (`connect`).
"""

from __future__ import annotations

import builtins
import getpass
import re
import signal
import subprocess
import sys
import threading
import traceback
import types
from asyncio import AbstractEventLoop
from types import TracebackType
from typing import Any, cast

from IPython.core.async_helpers import get_asyncio_loop
from IPython.core.compilerop import CachingCompiler
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import Config

from mecapy_jupyter.shared import units
from mecapy_jupyter.travel.files import placeholders
from mecapy_worker.child import page_messages, registered_with_shell, unfinished
from mecapy_worker.child.displays import FrameDisplayHook, FramePublisher
from mecapy_worker.child.hooks import comms, debuggers, ipython, tqdm_bars
from mecapy_worker.child.output import Outgoing, OutStream, Send
from mecapy_worker.shared import address_space, crash_line, libc

_INSTALLS = re.compile(
    r"^\s*(\S*python\S*\s+-m\s+|\S*/)?(pip3?|uv pip|uv|conda|mamba|micromamba)\s+(install|add)\b"
    r"(?!.*\s(--target|-t|--dry-run|--help)\b)"
)
_NO_INSTALL = (
    "mecapy: a cell cannot install packages on a worker: install them in a cell without %%mecapy, "
    "which is enough for the embedded stack; ask the operator of any other pool to install them"
)
_NO_MAGIC = (
    "mecapy: magics of extensions and of the notebook stay in the kernel: call them "
    "in a cell without %%mecapy, or `%load_ext` the extension in this one"
)


class TaskCompiler(CachingCompiler):
    """Names the cell as in its notebook, so that its functions have their lines there too."""

    filename = source = ""
    of_a_script = False

    def format_code_name(self, name: str) -> tuple[str, str] | None:
        """`Cell In[5]`; a script is named by its file."""
        script = self.of_a_script and name == self.filename
        return None if script else super().format_code_name(name)

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        if self.filename and raw_code == self.source:
            return self.filename
        return super().get_code_name(raw_code, transformed_code, number)

    def is_cell(self, name: str) -> bool:
        """Whether a file's name is this cell's, or that of a part that a magic ran."""
        return name == self.filename or name.startswith("<ipython-input-")


class TaskShell(InteractiveShell):
    """The shell of one task. An error is kept in `failure` with its traceback, and not printed."""

    display_pub_class = FramePublisher  # pyright: ignore[reportAssignmentType]
    displayhook_class = FrameDisplayHook  # pyright: ignore[reportAssignmentType]
    compiler_class = TaskCompiler  # pyright: ignore[reportAssignmentType]
    # Untyped parts of IPython.
    user_ns: dict[str, Any]  # pyright: ignore[reportIncompatibleMethodOverride]
    display_pub: FramePublisher
    displayhook: FrameDisplayHook
    compile: TaskCompiler
    outgoing: Outgoing
    # pandas detects a notebook by this attribute and by the class's name
    kernel = None
    failure: tuple[BaseException | None, list[str]] | None = None
    _in_code = 0  # how deep
    of_a_kernel = _in_loop = False
    _loop: AbstractEventLoop | None = None
    # for bookmarks and `%cd`: a task keeps none, and its profile is read-only
    db: Any = {}  # pyright: ignore[reportIncompatibleMethodOverride] # noqa: RUF012 one task alone

    def run(self, source: str) -> None:
        """Run a cell. Its error, if any, is then in `failure`."""
        self._in_loop = self.of_a_kernel and self._knows_asyncio(source)
        before = registered_with_shell.counts(self)
        unfinished.begin()
        page_messages.begin(lambda: self._loop)
        try:
            self.run_cell(source, store_history=False)  # pyright: ignore[reportUnknownMemberType]
        finally:
            page_messages.end(told_to_stop=self.outgoing.told_to_stop)
        tqdm_bars.finish()
        for sentence in (*unfinished.said(self._loop), *registered_with_shell.said(before, self)):
            print(f"mecapy: {sentence}", file=sys.stderr)

    def words(self, code: str) -> set[str]:
        """The names in the cell and in functions and classes that it may call."""
        found = set(re.findall(r"[^\W\d]\w*", code))
        for value in list(self.user_ns.values()):
            held = list(vars(value).values()) if isinstance(value, type) else [value]
            for function in held:
                if type(function) is types.FunctionType and value.__module__ == "__main__":
                    found.update(function.__code__.co_names)
        return found

    def _knows_asyncio(self, source: str) -> bool:
        module = sys.modules.get("asyncio")
        return "asyncio" in source or any(value is module for value in self.user_ns.values())

    def should_run_async(self, raw_cell: str, **kwargs: Any) -> bool:
        """True, as in a kernel, where a loop always runs, so that `asyncio.run` is refused."""
        asks = self._in_loop or super().should_run_async(raw_cell, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        self._loop = get_asyncio_loop() if asks else None
        return asks

    def _run_cell(self, *args: Any, **kwargs: Any) -> ExecutionResult:
        out = self.outgoing
        before, out.between_code = out.between_code, True
        try:
            return super()._run_cell(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        finally:
            out.between_code = before
            out.deliver()

    async def run_code(self, *args: Any, **kwargs: Any) -> bool:
        out = self.outgoing
        before, out.between_code = out.between_code, False
        self._in_code += 1
        try:
            out.deliver()
            run = super().run_code(*args, **kwargs)  # pyright: ignore[reportUnknownMemberType]
            failed = bool(await run)
        finally:
            self._in_code -= 1
        out.between_code = before  # only here: an abandoned coroutine may end much later
        return failed

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        with self.outgoing.uninterrupted:  # or IPython prints that it cannot show the error
            self._show_error(exc_tuple, *args, **kwargs)

    def _show_error(self, exc_tuple: Any, *args: Any, **kwargs: Any) -> None:
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        if error is not None and threading.current_thread() is not threading.main_thread():
            self._show_lines(error, traceback.format_exception(error))  # of a widget's handler
            return
        if error is not None and self._is_shown_by_the_cell(error, kwargs):
            self._show_only(error, exc_tuple, *args, **kwargs)
            return
        if error is not None:
            placeholders.forget_frames(error)
            crash_line.note(error)
        if isinstance(error, MemoryError):
            error.add_note(
                f"A task here may use {units.size(address_space.memory_bytes())} of memory "
                f"(MECAPY_MAX_MEMORY_BYTES)."
            )
        if isinstance(error, StdinNotImplementedError) and error.__traceback__ is not None:
            exc_tuple = type(error), error, _above(error.__traceback__)
        if isinstance(error, BaseExceptionGroup):  # IPython prints these by itself
            self.failure = error, traceback.format_exception(error)  # pyright: ignore[reportUnknownArgumentType]
        else:
            super().showtraceback(exc_tuple, *args, **kwargs)

    def _is_shown_by_the_cell(self, error: BaseException, kwargs: dict[str, Any]) -> bool:
        """If code of the cell shows an error, print it. Otherwise the cell fails with it: what it
        raised, or a last value that cannot be shown.
        """
        raised = kwargs.get("running_compiled_code") or isinstance(error, SystemExit)
        return bool(self._in_code) and not self.displayhook.is_active and not raised

    def _show_only(self, error: BaseException, *args: Any, **kwargs: Any) -> None:
        """Shows an error of the cell that does not fail it, for instance inside `with Output()`."""
        before, self.failure = self.failure, None
        super().showtraceback(*args, **kwargs)
        failed, self.failure = self.failure, before
        self._show_lines(error, failed[1] if failed else traceback.format_exception(error))

    def _show_lines(self, error: BaseException, lines: list[str]) -> None:
        shown = {"ename": type(error).__name__, "evalue": str(error), "traceback": lines}
        self.display_pub.show("error", shown, {})

    def _showtraceback(self, etype: Any, evalue: BaseException, stb: list[str]) -> None:
        self.failure = evalue, list(stb)

    def show_usage_error(self, exc: BaseException) -> None:
        self.failure = exc, [f"UsageError: {exc}"]
        if "magic function" in str(exc):
            print(_NO_MAGIC, file=sys.stderr)

    def system(self, cmd: str) -> None:
        """`!command`: its output goes where prints go, line by line, with the ends of lines of a
        terminal, as in a kernel.
        """
        command = cast(str, self.var_expand(cmd, depth=1))  # pyright: ignore[reportUnknownMemberType]
        if _INSTALLS.search(command):  # it would fail after seventy lines of pip
            print(_NO_INSTALL, file=sys.stderr)
            self.user_ns["_exit_code"] = 1
            return
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, shell=True, stdout=pipe, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in process.stdout or ():
                sys.stdout.write(line.replace("\n", "\r\n") if self.of_a_kernel else line)
        self.user_ns["_exit_code"] = process.returncode

    system_piped = system_raw = system  # pyright: ignore[reportAssignmentType]

    def enable_gui(self, gui: str | None = None) -> None:
        """A worker has no windows, so figures are displays."""

    def ask_exit(self) -> None:
        """`exit` ends only the cell."""


def build() -> TaskShell:
    """The shell, created once in the zygote. It belongs to no task yet."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "neutral"
    config.IPKernelApp.log_level = 30  # libraries detect a notebook by this section
    ipython.install(TaskShell)
    shell = TaskShell.instance(config=config)
    shell.builtin_trap.activate()
    return shell


def connect(shell: TaskShell, send: Send) -> None:
    """In the child: from here on everything that a cell shows goes to `send`."""
    shell.outgoing = Outgoing(send)
    tqdm_bars.connect(shell.outgoing)
    comms.connect(shell.outgoing)
    sys.stdout = sys.__stdout__ = OutStream(shell.outgoing, "stdout", 1)  # pyright: ignore[reportAttributeAccessIssue]
    sys.stderr = sys.__stderr__ = OutStream(shell.outgoing, "stderr", 2)  # pyright: ignore[reportAttributeAccessIssue]
    builtins.input = getpass.getpass = _no_input
    debuggers.refuse()
    libc.handle(signal.SIGINT, shell.outgoing.on_sigint)


def as_in_a_kernel() -> None:
    """A kernel's streams accept only text, and name their encoding in capitals."""
    for stream in (sys.stdout, sys.stderr):
        stream.__dict__.pop("buffer", None)
        stream.__dict__.update(encoding="UTF-8", errors=None)


def _no_input(prompt: object = "", /, *_: object, **__: object) -> str:
    raise StdinNotImplementedError(
        "a %%mecapy cell cannot ask for input; set the value in a cell of its own, before this one"
    )


def _above(trace: TracebackType) -> TracebackType | None:
    """A traceback without its last step, which is ours."""
    if trace.tb_next is None:
        return None
    return TracebackType(_above(trace.tb_next), trace.tb_frame, trace.tb_lasti, trace.tb_lineno)

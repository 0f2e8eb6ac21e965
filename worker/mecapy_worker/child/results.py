"""What a finished cell sends home: its variables, what it changed in place, its value, its error.
Part of the child.
"""

from __future__ import annotations

import fnmatch
import os
import pickle
import traceback
from dataclasses import dataclass, replace
from typing import Any

from mecapy_jupyter.shared.errors import MecapyError
from mecapy_jupyter.shared.units import listed
from mecapy_jupyter.travel.changes.watch import Watch
from mecapy_jupyter.travel.environment import (
    held_objects,
    module_importer,
    open_figures,
    process_state,
)
from mecapy_jupyter.travel.environment.open_figures import OpenFigures
from mecapy_jupyter.travel.files import collect as files
from mecapy_jupyter.travel.files import placeholders
from mecapy_jupyter.travel.files.index import Index
from mecapy_jupyter.travel.pickling import function_caches, numbers, tracebacks
from mecapy_jupyter.wire import CANCELLED, COMPLETED, FAILED, ErrorInfo
from mecapy_worker.child import home_paths, json_values, packing, result_files
from mecapy_worker.child.shell import TaskShell
from mecapy_worker.shared.messages import OutcomeMessage, TaskMessage

_STREAM_BYTES = 4 * 1024 * 1024  # a longer one goes by a file, as large buffers do
_ERROR_CHARS = 100_000
_SHORT_CHARS = 1000  # values up to this show in task lists
_SHELL_OWN = frozenset({"exit", "quit", "open"})  # unless the user calls something else so
_RESULTS = frozenset({"_", "__", "___"})
"""The shell's names for the last values, which a cell may bind: `for _ in range(3)`."""
_before: dict[str, Any] = {}
_ambient: dict[str, Any] = {}
_held: held_objects.Held = {}
_started_in: list[str] = []
_found: list[files.Listing] = []
_found_above: dict[str, files.Mark] = {}
_found_index: list[Index] = []
_figures: list[OpenFigures] = []


def begin(
    shell: TaskShell, watch: Watch, index: Index, figures: OpenFigures | None = None
) -> Watch:
    """Remember the namespace, and what is around it, as the cell finds them. `index`: of the folder
    it was sent; `figures`: those that are open where it comes from.
    """
    _figures[:] = [figures] if figures is not None else []
    _before.update(shell.user_ns)
    _ambient.update(process_state.noted())
    _held.update(held_objects.now())
    _started_in[:] = [os.getcwd()]  # noqa: PTH109 without pathlib, a page less
    _found[:], _found_index[:] = [files.listing(_started_in[0])], [index]
    _found_above.update(files.above(_started_in[0], index))
    home_paths.begin(_started_in[0], index.home)
    placeholders.begin()
    return watch


def forget() -> None:
    """Restores the state before any task (`begin`)."""
    found = _found, _found_above, _found_index
    for state in (_before, _ambient, _held, _started_in, *found, _figures):
        state.clear()


class NotOpened(Exception):
    """Its cause was raised while the inputs were opened; `args[0]`: the variables that hold it."""


def unopened(error: BaseException) -> OutcomeMessage:
    """The inputs could not be opened: say which variable, why, and what to do."""
    lost = list[str]()
    if isinstance(error, NotOpened) and error.__cause__ is not None:
        lost, error = error.args[0], error.__cause__
    message = "".join(traceback.format_exception_only(error)).strip()
    names = f"the variable{'s' if len(lost) > 1 else ''} {listed([repr(name) for name in lost])}"
    what = names if lost else "the cell's inputs"
    if isinstance(error, MecapyError):  # a sentence of ours, with what to do
        message, todo = str(error), ""
    elif isinstance(error, ImportError):
        todo = "; install it on the workers, or make this inside the cell"
    else:
        todo = "; make this inside the cell, or send the data it is made of"
    text = f"the worker could not open {what}: {message}{todo}"
    info = ErrorInfo(
        "inputs", type(error).__name__, text, None, tuple(traceback.format_exception(error))
    )
    return OutcomeMessage(FAILED, error=info.as_json())


def uncollected(error: BaseException) -> OutcomeMessage:
    """The cell ran, but its results could not be collected, usually because a class has methods
    that raise.
    """
    text = (
        f"the cell ran, but its results could not be packed: {type(error).__name__}: "
        f"{_message(error)}"
    )
    info = ErrorInfo(
        "cell", type(error).__name__, text, None, tuple(traceback.format_exception(error))
    )
    return OutcomeMessage(FAILED, error=info.as_json())


@dataclass(frozen=True, slots=True)
class Ended:
    """A finished task, not yet written for the worker. `small`: its small files, as a pickle; no
    part of the stream needs them, so only those fetch them who ask for them.
    """

    outcome: OutcomeMessage
    stream: bytes = b""
    buffers: tuple[memoryview, ...] = ()
    small: bytes = b""


def collect(shell: TaskShell, task: TaskMessage, watch: Watch) -> Ended:
    """Variables that cannot travel stay behind and are named."""
    failure, value, patterns = shell.failure, shell.displayhook.value, task.outputs
    outcome = _outcome(shell, task)
    bound = _wanted(shell.user_ns, patterns)
    if task.payload is None:
        single = patterns is None and value is not None
        shown = json_values.of(value) if single else json_values.of_variables(bound)
        return Ended(replace(outcome, result=shown))
    home: dict[str, Any] = {
        "bound": bound,
        "deleted": _deleted(shell.user_ns) if patterns is None else [],
        "left": {},
        # A function call has no next cell: nobody would take the state.
        "imported": module_importer.imported_anew() if task.cell else [],
    }
    home["folder"], small = files.collect(_started_in[0], _found[0], task.keep, _found_index[0])
    home["left"] |= _written_above()
    home["ambient"] = process_state.changed(_ambient, process_state.current()) if task.cell else {}
    if task.cell and (held := held_objects.among(watch.known())):
        home["ambient"] = held_objects.without_copies(home["ambient"], _held)
        home["ambient"][process_state.HELD] = held
    home["left"] |= module_importer.served.left
    if task.cell and patterns is None:
        held = (*watch.objects().values(), *bound.values())
        home["caches"] = function_caches.filled(held, module_importer.served.sources)
    figures = open_figures.current() if task.cell and patterns is None else None
    if figures is not None and (figures.numbered or _figures):
        home["figures"] = figures
    if value is not None:
        home["value"] = value
    if failure and failure[0] is not None:
        home["exception"] = _exception(failure[0])
    packed = packing.pack(
        home,
        shell.user_ns,
        watch,
        everything=patterns is None,
        unnumbered=() if task.declared is None else numbers.TEXT,
        folder=_started_in[0],
    )
    if type(value) in (bool, int, float, str) and _is_short(value):
        outcome = replace(outcome, result=json_values.exact(value))
    return Ended(outcome, packed.stream, packed.buffers, pickle.dumps(small) if small else b"")


def _outcome(shell: TaskShell, task: TaskMessage) -> OutcomeMessage:
    """How the code ended."""
    if (failure := shell.failure) is None:
        return OutcomeMessage(COMPLETED)
    error = _describe(shell, *failure, above=int(bool(task.cell and task.cell.header)))
    interrupted = isinstance(failure[0], KeyboardInterrupt)
    return OutcomeMessage(CANCELLED if interrupted else FAILED, error=error.as_json())


def written(ended: Ended, folder: str) -> tuple[OutcomeMessage, bytes]:
    """The outcome and its body, with all that is large in files in `folder`."""
    outcome, stream = ended.outcome, ended.stream
    names = result_files.write(folder, ended.buffers)
    if ended.small:
        names += result_files.add(folder, "files", ended.small)
    outcome = replace(outcome, buffers=tuple(names))
    if len(stream) <= _STREAM_BYTES:
        return outcome, stream
    (stream_file,) = result_files.add(folder, "stream", stream)
    return replace(outcome, stream_file=stream_file), b""


def _is_short(value: Any) -> bool:
    bits = value.bit_length() if type(value) is int else 0
    return bits < 3 * _SHORT_CHARS and len(str(value)) < _SHORT_CHARS


def _wanted(namespace: dict[str, Any], patterns: tuple[str, ...] | None) -> dict[str, Any]:
    """The variables to bring home: what the cell bound, or what matches `patterns`."""
    shells = {
        name for name in _SHELL_OWN if name in namespace and namespace[name] is _before.get(name)
    }
    shells |= _RESULTS if patterns is not None else frozenset()
    names = [
        name
        for name in namespace
        if name not in shells and (name in _RESULTS or not packing.HIDDEN.fullmatch(name))
    ]
    if patterns is not None:
        return {
            name: namespace[name]
            for name in names
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        }
    return {
        name: namespace[name]
        for name in names
        if name not in _before or namespace[name] is not _before[name]
    }


def _deleted(namespace: dict[str, Any]) -> list[str]:
    return [
        name for name in _before if name not in namespace and not packing.HIDDEN.fullmatch(name)
    ]


def _describe(
    shell: TaskShell, error: BaseException | None, lines: list[str], above: int
) -> ErrorInfo:
    """The cell's own error, as text for anybody. `above`: lines of its header."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    for frame, number in traceback.walk_tb(error.__traceback__ if error else None):
        if shell.compile.is_cell(frame.f_code.co_filename):
            line = number
    shown = tuple(_cut(home_paths.shown(each)) for each in lines)
    counted = None if line is None else line + above
    return ErrorInfo("cell", type(error).__name__, _message(error), counted, shown)


def _message(error: BaseException | None) -> str:
    try:
        return _cut(home_paths.shown(str(error)))
    except Exception:
        return f"<{type(error).__name__}: its text cannot be shown>"


def _cut(text: str) -> str:
    """Short enough to travel with the outcome; the exception itself comes home whole."""
    most = _ERROR_CHARS
    return text if len(text) <= most else f"{text[:most]}… (cut: {len(text):,} characters)"


def _written_above() -> dict[str, str]:
    """The files that the cell has written beside its folder, because they end with the task."""
    now = files.above(_started_in[0], _found_index[0])
    written = sorted(path for path, mark in now.items() if _found_above.get(path) != mark)
    why = "outside the notebook's folder; write into the folder"
    return {listed(written): why} if written else {}


def _exception(error: BaseException) -> dict[str, Any]:
    """The exception itself and where it came from, frames above the cell left out."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_globals.get("__name__") != "__main__":
        tb = tb.tb_next
    error.__traceback__ = None
    return {"error": error, "trail": tracebacks.of(tb) if tb is not None else None}

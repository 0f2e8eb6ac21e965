"""The messages of failed tasks: what happened, with its number, and what to do."""

from __future__ import annotations

import signal
from dataclasses import replace

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter import wire
from mecapy_jupyter.shared import errors, units
from mecapy_worker.pool.kernel_memory import COUNTLESS
from mecapy_worker.shared.messages import ExitStatus

_SIGNALS = {
    "SIGSEGV": "crashed in native code (SIGSEGV, a wrong memory access); find the call with "
    "faulthandler, or run the cell in steps",
    "SIGBUS": "crashed in native code (SIGBUS); a mapped file that became shorter is the usual "
    "cause",
    "SIGABRT": "was aborted by native code (SIGABRT); the last lines on stderr most often say why",
    "SIGFPE": "crashed in native code (SIGFPE, a division by zero or an overflow of integers); "
    "check the inputs of the last call",
    "SIGKILL": "was killed by the system (SIGKILL), most often because the machine ran out of "
    "memory; use less, or run it again later",
    "SIGSYS": "asked the system for something a task may not do (SIGSYS), such as a network "
    "connection; take that out of the cell",
    "SIGXFSZ": "wrote a file larger than a task may (SIGXFSZ); write several smaller ones",
}


def info(kind: wire.ErrorKind, text: str) -> wire.ErrorInfo:
    return wire.ErrorInfo(kind, errors.BY_KIND[kind].__name__, text)


def no_parent(task_id: str) -> wire.ErrorInfo:
    text = f"The task {task_id[:8]}, whose result this one needs, was deleted; submit both again."
    return info("parent", text)


def at(error: wire.ErrorInfo, line: int | None) -> wire.ErrorInfo:
    """The same, with the cell's line."""
    if not line:
        return error
    return replace(error, line=line, message=f"{error.message} It was at line {line}.")


def limit(kind: str, used: int, settings: Settings) -> wire.ErrorInfo:
    """A limit stopped the child, which had used this much."""
    if kind == "memory" and used >= COUNTLESS:
        return info("memory", "The cell holds more file locks than a task may; release them.")
    if kind == "memory":
        peak, most = units.size(used), units.size(settings.max_memory_bytes)
        text = (
            f"The cell used {peak} of memory, a task may use {most}; work on "
            f"smaller pieces, or free arrays no longer needed."
        )
        return info("memory", text)
    if kind == "disk":
        size = units.size(settings.max_disk_bytes)
        text = (
            f"The cell wrote more than the {size} of files a task may keep; remove temporary "
            f"files earlier."
        )
        return info("disk", text)
    return info("killed", f"The cell went over its limit of {kind[:40]}; start fewer at a time.")


def output(settings: Settings) -> wire.ErrorInfo:
    size = units.size(settings.max_output_bytes)
    text = (
        f"The cell printed and displayed more than the {size} a task may; print less, or write "
        f"to a file."
    )
    return info("output", text)


def timeout(timeout_s: float) -> wire.ErrorInfo:
    text = (
        f"The cell ran past its timeout of {timeout_s:g} s and was stopped; give it more, for "
        f"instance `%%mecapy --timeout 2h`."
    )
    return info("timeout", text)


def no_child(within_s: float) -> wire.ErrorInfo:
    text = (
        f"The worker could not start a process for the task within {within_s:g} s; run it "
        f"again later, and tell the operators."
    )
    return info("worker_lost", text)


def died(exit_status: ExitStatus) -> wire.ErrorInfo:
    """The child's process ended unexpectedly."""
    if exit_status.lost:
        return info(
            "worker_lost",
            "The process that starts tasks died, and this task with it; run it again.",
        )
    if exit_status.signal is None:
        why = (
            f"ended by itself with exit code {exit_status.code} before the cell was done; look "
            f"for os._exit, or an exit in native code"
        )
    else:
        why = _killed_by(exit_status.signal)
    return info("killed", f"The cell's process {why}.")


def _killed_by(number: int) -> str:
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return _SIGNALS.get(
        name, f"was ended by {name}; run the cell again, in smaller steps if it happens twice"
    )


def result_too_large(size: int, settings: Settings) -> wire.ErrorInfo:
    most = units.size(settings.max_result_bytes)
    text = (
        f"The cell's result is {units.size(size)}, a task may return {most}; bring home less "
        f"with `-o`, or only a part of it."
    )
    return info("result_too_large", text)


def protocol(problem: str) -> wire.ErrorInfo:
    text = (
        f"The worker did not understand the cell's process ({problem[:200]}); do not write to "
        f"file descriptors the cell did not open."
    )
    return info("protocol", text)


def ours(error: Exception) -> wire.ErrorInfo:
    """An internal error; the worker's log has the details."""
    text = (
        f"The worker failed with an internal error ({type(error).__name__}); run the cell again, "
        f"and if it fails again give the operators the task's id."
    )
    return info("protocol", text)


def too_many_inputs(count: int, most: int) -> wire.ErrorInfo:
    text = (
        f"The cell reads {count:,} large arrays or other buffers, a task may have {most:,}; "
        f"stack them into one (`numpy.stack`)."
    )
    return info("inputs", text)


def python(notebook: str, ours: str) -> wire.ErrorInfo:
    text = (
        f"The notebook runs Python {notebook} and the workers Python {ours}; use a kernel with "
        f"Python {ours}."
    )
    return info("python", text)

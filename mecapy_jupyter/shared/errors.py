"""Every error of ours that a user can meet. A failing cell raises its own exception, never one of
these.

Each message says what happened and what to do next; `docs/errors.md` names them all (a test keeps
it so).
"""

from __future__ import annotations


class MecapyError(Exception):
    """Root of all errors MecaPy raises itself."""


class ConfigError(MecapyError):
    """A setting, magic option or configuration file says something that cannot be."""


class ConnectionFailed(MecapyError):
    """The gateway does not answer."""


class NotAuthorized(MecapyError):
    """The gateway does not accept the token, a login has ended or was refused, or this is not for
    you.
    """


class NotFound(MecapyError):
    """No such task or blob, or it is not yours."""


class Refused(MecapyError):
    """The gateway refused the request: too large, too many, or not understood."""


class Unavailable(MecapyError):
    """The gateway, or something it needs, cannot serve just now; trying again later helps."""


class CannotSend(MecapyError):
    """A variable cannot travel to the worker; the message names it and the part that cannot."""


class PackageMissing(MecapyError):
    """The cell needs a package that is installed here and on the workers not; nothing was sent."""


class CannotReceive(MecapyError):
    """A result arrived that this kernel cannot open."""


class CellError(MecapyError):
    """The cell raised an exception that cannot itself travel; its name and text stand in the
    message.
    """


class StackError(MecapyError):
    """The embedded stack could not be started or stopped."""


class TaskFailed(MecapyError):
    """The task ended for a reason that is not the cell's own exception. Leaves name the reason."""


class TaskTimeout(TaskFailed):
    """The cell ran past its timeout."""


class TaskOutOfMemory(TaskFailed):
    """The cell used more memory than a task may."""


class TaskOutputLimit(TaskFailed):
    """The cell printed or displayed more than a task may."""


class TaskDiskLimit(TaskFailed):
    """The cell wrote more to its folder than a task may."""


class TaskKilled(TaskFailed):
    """The cell's process died by a signal (a crash in native code, for instance)."""


class WorkerLost(TaskFailed):
    """The workers that ran the cell vanished, more often than a task is tried."""


class PythonMismatch(TaskFailed):
    """The worker runs another Python version than this notebook."""


class InputsNotOpened(TaskFailed):
    """The inputs could not be opened on the worker, mostly because a package is missing there."""


class ResultTooLarge(TaskFailed):
    """The cell's result is larger than a task may return."""


class ProtocolError(TaskFailed):
    """The task's process said something the worker did not understand."""


class StorageFailed(TaskFailed):
    """The object store could not be read or written."""


class TaskCancelled(MecapyError, KeyboardInterrupt):
    """The task was cancelled; a KeyboardInterrupt too, so that "Run All" stops."""


class TaskDetached(MecapyError):
    """The cell no longer waits for its task, which goes on; raised so that "Run All" stops here."""


BY_KIND: dict[str, type[TaskFailed]] = {
    "timeout": TaskTimeout,
    "memory": TaskOutOfMemory,
    "output": TaskOutputLimit,
    "disk": TaskDiskLimit,
    "killed": TaskKilled,
    "worker_lost": WorkerLost,
    "python": PythonMismatch,
    "inputs": InputsNotOpened,
    "result_too_large": ResultTooLarge,
    "protocol": ProtocolError,
    "storage": StorageFailed,
}
"""The leaf for each `wire.ErrorKind` but "cell"."""

"""MecaPy's own errors. A failing cell raises its own exception instead.

Each message says what happened and what to do next. `docs/errors.md` lists them all; a test checks
that.
"""

from __future__ import annotations


class MecapyError(Exception):
    """Base class of all errors of MecaPy."""


class ConfigError(MecapyError):
    """A setting, an option of the magic or the configuration file is wrong."""


class ConnectionFailed(MecapyError):
    """The gateway does not answer."""


class NotAuthorized(MecapyError):
    """The token is not accepted, the login has ended, or the user's role does not allow this."""


class NotFound(MecapyError):
    """The task or blob does not exist, or belongs to another user."""


class Refused(MecapyError):
    """The gateway refused the request: too large, too many, or invalid."""


class Unavailable(MecapyError):
    """The gateway, or a service it needs, cannot answer now. Trying again later helps."""


class CannotSend(MecapyError):
    """A variable cannot be sent to a worker. The message names the variable and the part."""


class PackageMissing(MecapyError):
    """The cell needs a package that the workers lack. Nothing was sent."""


class CannotReceive(MecapyError):
    """This kernel cannot open a result."""


class CellError(MecapyError):
    """The cell raised an exception that cannot be pickled. The message has its name and text."""


class StackError(MecapyError):
    """The embedded stack could not be started or stopped."""


class TaskFailed(MecapyError):
    """The task ended for a reason other than the cell's own exception. Subclasses name it."""


class TaskTimeout(TaskFailed):
    """The cell ran longer than its timeout."""


class TaskOutOfMemory(TaskFailed):
    """The cell used more memory than a task may."""


class TaskOutputLimit(TaskFailed):
    """The cell printed or displayed more than a task may."""


class TaskDiskLimit(TaskFailed):
    """The cell wrote more to its folder than a task may."""


class TaskKilled(TaskFailed):
    """A signal ended the cell's process, for instance a crash in native code."""


class WorkerLost(TaskFailed):
    """The workers that ran the cell vanished too many times."""


class PythonMismatch(TaskFailed):
    """The worker runs another Python version than this notebook."""


class InputsNotOpened(TaskFailed):
    """The worker could not open the inputs, usually because a package is missing there."""


class ResultTooLarge(TaskFailed):
    """The cell's result is larger than a task may return."""


class ProtocolError(TaskFailed):
    """The worker did not understand what the task's process sent."""


class StorageFailed(TaskFailed):
    """The object store could not be read or written."""


class PackagesFailed(TaskFailed):
    """The packages that the cell names are not allowed here, or cannot be installed."""


class ParentFailed(TaskFailed):
    """A task whose result this one needs failed, was cancelled or deleted. Its cause is that task's
    own exception, where that is known here.
    """


class TaskCancelled(MecapyError, KeyboardInterrupt):
    """The task was cancelled. It is a KeyboardInterrupt, so that "Run All" stops."""


class TaskDetached(MecapyError):
    """The cell no longer waits for its task, which continues. Raised so that "Run All" stops."""


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
    "packages": PackagesFailed,
    "parent": ParentFailed,
}
"""The class of each `wire.ErrorKind` but "cell"."""

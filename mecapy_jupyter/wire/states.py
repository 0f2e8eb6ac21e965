"""The states of a task, and why one failed."""

from __future__ import annotations

from typing import Literal

# The last three are final.
State = Literal["blocked", "queued", "running", "completed", "failed", "cancelled"]
BLOCKED, QUEUED, RUNNING = "blocked", "queued", "running"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
WAITING: frozenset[str] = frozenset({BLOCKED, QUEUED})
FINAL: frozenset[str] = frozenset({COMPLETED, FAILED, CANCELLED})

# "cell" is the cell's own exception and the only kind that is not ours.
ErrorKind = Literal[
    "cell",  # the code raised
    "timeout",  # ran past its timeout
    "memory",  # used more memory than a task may
    "output",  # printed or displayed more than a task may
    "disk",  # wrote more than a task may
    "killed",  # its process died by a signal that was not ours
    "worker_lost",  # its workers vanished, more often than it may be tried
    "python",  # the worker runs another Python version than the notebook
    "inputs",  # the inputs could not be opened in the child
    "result_too_large",  # the result is larger than a task may return
    "protocol",  # what the child sent was not understood
    "storage",  # the object store could not be read or written
    "packages",  # the packages it names are not allowed, or cannot be installed
    "parent",  # a task whose result it needs failed, was cancelled or deleted
]

"""The contract: what travels between notebook, gateway and worker. Standard library only; all three
sides import it.

A frozen dataclass here is one thing that travels; `as_json` and `from_json` are its only two forms.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# States of a task. The last three are final.
State = Literal["queued", "running", "completed", "failed", "cancelled"]
QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED = (
    "queued",
    "running",
    "completed",
    "failed",
    "cancelled",
)
FINAL: frozenset[str] = frozenset({COMPLETED, FAILED, CANCELLED})

# Events of a task's log that are not a state. The final event is named by the final state.
STARTED, STDOUT, STDERR, DISPLAY, PROGRESS, USAGE = (
    "started",
    "stdout",
    "stderr",
    "display",
    "progress",
    "usage",
)

INLINE_BYTES = 64 * 1024
"""A pickle stream up to this size travels inside the request or result; a longer one, and every
out-of-band buffer, is a blob.
"""

CALLED = "_mecapy_fn"
"""The variable with the function where a task calls one (`Client.submit`, `map`): results are
copies, as of any executor of processes.
"""

# Why a task failed (`ErrorInfo.kind`). "cell" is the cell's own exception and the only one that is
# not ours.
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
]


@dataclass(frozen=True, slots=True)
class Payload:
    """Pickled values: one stream of pickles (inline or as a blob) and, in order, the digests of its
    out-of-band buffers.
    """

    pickle: bytes = b""
    pickle_blob: str = ""
    buffers: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "pickle": base64.b64encode(self.pickle).decode("ascii"),
            "pickle_blob": self.pickle_blob,
            "buffers": list(self.buffers),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Payload:
        return cls(
            base64.b64decode(data.get("pickle", "")),
            data.get("pickle_blob", ""),
            tuple(data.get("buffers", ())),
        )

    @property
    def digests(self) -> tuple[str, ...]:
        """Every blob this payload needs, in the order it is opened."""
        return ((self.pickle_blob,) if self.pickle_blob else ()) + self.buffers


@dataclass(frozen=True, slots=True)
class Cell:
    """Where the code stands in its notebook, so that errors name the user's own lines. Line 1 of
    the cell is `header`.
    """

    number: int = 0  # execution count, as in "Cell In[5]"; 0: not from a notebook
    header: str = ""  # the `%%mecapy …` line
    filename: str = ""  # what the notebook's IPython calls it in tracebacks


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """The body of `POST /tasks`. `inputs` are JSON values that become variables; `payload` is what
    Python clients send instead.

    `outputs`: names or globs of the variables to bring home; None: everything the code binds or
    changes. `timeout` in seconds of running; `retries`: further attempts after a failing one (a
    lost worker is always retried). `keep`: globs of files, relative to the task's folder, that come
    home with the result (Python clients only). `python`: "major.minor" the payload was pickled
    with, and so of the worker; "": any will do.
    """

    code: str
    name: str = ""
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    outputs: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()
    priority: int = 5
    timeout: float = 300.0
    retries: int = 0
    payload: Payload | None = None
    cell: Cell | None = None
    python: str = ""

    def as_json(self) -> dict[str, Any]:
        body = asdict(self)
        body["payload"] = self.payload.as_json() if self.payload else None
        body["outputs"] = list(self.outputs) if self.outputs is not None else None
        body["keep"] = list(self.keep)
        return body


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why a task failed, as plain text for anybody. The exception itself, pickled, travels in the
    payload for its owner.
    """

    kind: ErrorKind
    type: (
        str  # "ZeroDivisionError", or for kinds other than "cell" the name of the limit's exception
    )
    message: str  # one sentence, with what to do next
    line: int | None = (
        # line of the cell as the user counts it; line 1 is the `%%mecapy` line when there is one
        None
    )
    traceback: tuple[str, ...] = ()  # rendered as IPython shows it, machinery left out

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"traceback": list(self.traceback)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ErrorInfo:
        return cls(
            data["kind"],
            data["type"],
            data["message"],
            data.get("line"),
            tuple(data.get("traceback", ())),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; the data of the final event, and what the task's row keeps.

    `result` is the JSON result: with `outputs` given, or without a last expression, an object of
    variables; else the value of the last expression. A value JSON cannot hold stands as {"repr":
    text}. `payload` is the Python result (see payload.py).
    """

    state: State
    result: Any = None
    error: ErrorInfo | None = None
    payload: Payload | None = None
    seconds: float = 0.0  # of running
    stopped_s: float | None = (
        # cancelled while it ran: from the worker's hearing of it until all its processes were dead
        None
    )

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "result": self.result,
            "error": self.error.as_json() if self.error else None,
            "payload": self.payload.as_json() if self.payload else None,
            "seconds": self.seconds,
            "stopped_s": self.stopped_s,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Outcome:
        error, payload = data.get("error"), data.get("payload")
        return cls(
            data["state"],
            data.get("result"),
            ErrorInfo.from_json(error) if error else None,
            Payload.from_json(payload) if payload else None,
            data.get("seconds", 0.0),
            data.get("stopped_s"),
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a task's log. `id` orders them and resumes a stream (`Last-Event-ID`); `data` is
    plain JSON.

    queued {position, of, eta_s} · started {worker, attempt, memory_limit_bytes} · usage
    {cpu_percent, memory_bytes} stdout/stderr {text} · progress {fraction, text} display {kind:
    display_data | update_display_data | execute_result | clear_output, data, metadata, display_id,
    wait} completed/failed/cancelled: Outcome.as_json()
    """

    id: str
    type: str
    data: dict[str, Any]

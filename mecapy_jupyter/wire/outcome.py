"""How a task ended: its state, its result, its error. The data of the final event."""

from __future__ import annotations

from dataclasses import dataclass, field

from mecapy_jupyter.wire.json_fields import Json
from mecapy_jupyter.wire.shape import OPTIONAL, Shape
from mecapy_jupyter.wire.states import ErrorKind, State


@dataclass(frozen=True, slots=True)
class Payload(Shape):
    """Pickled values: one stream of pickles (inline or as a blob) and, in order, the digests of its
    out-of-band buffers.
    """

    pickle: bytes = b""
    pickle_blob: str = ""
    buffers: tuple[str, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """Every blob this payload needs, in the order it is opened."""
        return ((self.pickle_blob,) if self.pickle_blob else ()) + self.buffers


@dataclass(frozen=True, slots=True)
class ErrorInfo(Shape):
    """Why a task failed, as plain text for anybody. The exception itself, pickled, travels in the
    payload for its owner.

    `type`: "ZeroDivisionError", or for kinds other than "cell" the name of the limit's exception.
    `message`: one sentence, with what to do next. `line`: of the cell as the user counts it, where
    line 1 is the `%%mecapy` line if there is one. `traceback`: rendered as IPython shows it,
    machinery left out.
    """

    kind: ErrorKind
    type: str
    message: str
    line: int | None = None
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome(Shape):
    """How an attempt ended; the data of the final event, and what the task's row keeps.

    `result` is the JSON result: with `outputs` given, or without a last expression, an object of
    variables; else the value of the last expression. A value JSON cannot hold stands as {"repr":
    text}. `payload` is the Python result. `seconds`: of running. `stopped_s`: of a task cancelled
    while it ran, from the worker's hearing of it until all its processes were dead. Of a task with
    `cache`: `uncached`, why its result is not kept; `drew`, whose random state it read.
    """

    state: State
    result: Json = None
    error: ErrorInfo | None = None
    payload: Payload | None = None
    seconds: float = 0.0
    stopped_s: float | None = None
    uncached: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    drew: tuple[str, ...] = field(default=(), metadata=OPTIONAL)

"""How a task ended: its state, its result, its error. The data of the final event."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import cast

from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.json_fields import Json, JsonObject
from mecapy_jupyter.wire.states import ErrorKind, State


@dataclass(frozen=True, slots=True)
class Payload:
    """Pickled values: one stream of pickles (inline or as a blob) and, in order, the digests of its
    out-of-band buffers.
    """

    pickle: bytes = b""
    pickle_blob: str = ""
    buffers: tuple[str, ...] = ()

    def as_json(self) -> JsonObject:
        return {
            "pickle": base64.b64encode(self.pickle).decode("ascii"),
            "pickle_blob": self.pickle_blob,
            "buffers": list(self.buffers),
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Payload:
        return cls(
            base64.b64decode(fields.text(data, "pickle")),
            fields.text(data, "pickle_blob"),
            fields.texts(data, "buffers"),
        )

    @property
    def digests(self) -> tuple[str, ...]:
        """Every blob this payload needs, in the order it is opened."""
        return ((self.pickle_blob,) if self.pickle_blob else ()) + self.buffers


@dataclass(frozen=True, slots=True)
class ErrorInfo:
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

    def as_json(self) -> JsonObject:
        return {
            "kind": self.kind,
            "type": self.type,
            "message": self.message,
            "line": self.line,
            "traceback": list(self.traceback),
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> ErrorInfo:
        return cls(
            cast(ErrorKind, data["kind"]),
            fields.text(data, "type"),
            fields.text(data, "message"),
            fields.optional_integer(data, "line"),
            fields.texts(data, "traceback"),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended; the data of the final event, and what the task's row keeps.

    `result` is the JSON result: with `outputs` given, or without a last expression, an object of
    variables; else the value of the last expression. A value JSON cannot hold stands as {"repr":
    text}. `payload` is the Python result. `seconds`: of running. `stopped_s`: of a task cancelled
    while it ran, from the worker's hearing of it until all its processes were dead.
    """

    state: State
    result: Json = None
    error: ErrorInfo | None = None
    payload: Payload | None = None
    seconds: float = 0.0
    stopped_s: float | None = None

    def as_json(self) -> JsonObject:
        return {
            "state": self.state,
            "result": self.result,
            "error": self.error.as_json() if self.error else None,
            "payload": self.payload.as_json() if self.payload else None,
            "seconds": self.seconds,
            "stopped_s": self.stopped_s,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Outcome:
        error, payload = fields.mapping(data, "error"), fields.mapping(data, "payload")
        return cls(
            cast(State, data["state"]),
            data.get("result"),
            ErrorInfo.from_json(error) if error else None,
            Payload.from_json(payload) if payload else None,
            fields.number(data, "seconds") or 0.0,
            fields.number(data, "stopped_s"),
        )

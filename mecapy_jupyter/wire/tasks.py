"""A task as it is submitted, and as the gateway shows it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import cast

from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.defaults import PRIORITY, TIMEOUT_S
from mecapy_jupyter.wire.json_fields import Json, JsonObject, time_as_json
from mecapy_jupyter.wire.outcome import ErrorInfo, Payload
from mecapy_jupyter.wire.states import FINAL, QUEUED, State


@dataclass(frozen=True, slots=True)
class Cell:
    """Where the code stands in its notebook: `header` above it, which the page counts as line 1."""

    number: int = 0  # execution count, as in "Cell In[5]"; 0: not from a notebook
    header: str = ""  # the `%%mecapy …` line
    filename: str = ""  # what the notebook's IPython calls it in tracebacks

    @classmethod
    def from_json(cls, data: JsonObject) -> Cell:
        return cls(
            fields.integer(data, "number"),
            fields.text(data, "header"),
            fields.text(data, "filename"),
        )


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """The body of `POST /tasks`. `inputs` are JSON values that become variables; `payload` is what
    Python clients send instead.

    `outputs`: names or globs of the variables to bring home; None: everything the code binds or
    changes. `timeout` in seconds of running; `retries`: further attempts after a failing one (a
    lost worker is always retried). `keep`: globs of files, relative to the task's folder, that come
    home with the result (Python clients only). `python`: "major.minor" the payload was pickled
    with, and so of the worker; "": any will do. `signature`: by the submitter's own key, for their
    kernels alone.
    """

    code: str
    name: str = ""
    inputs: dict[str, Json] = field(default_factory=dict[str, Json])
    outputs: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()
    priority: int = PRIORITY
    timeout: float = TIMEOUT_S
    retries: int = 0
    payload: Payload | None = None
    cell: Cell | None = None
    python: str = ""
    signature: str = ""

    def as_json(self) -> JsonObject:
        body = asdict(self)
        body["payload"] = self.payload.as_json() if self.payload else None
        body["outputs"] = list(self.outputs) if self.outputs is not None else None
        body["keep"] = list(self.keep)
        return body

    @classmethod
    def from_json(cls, data: JsonObject) -> TaskRequest:
        payload, cell = fields.mapping(data, "payload"), fields.mapping(data, "cell")
        timeout_s = fields.number(data, "timeout")
        return cls(
            code=fields.text(data, "code"),
            name=fields.text(data, "name"),
            inputs=fields.mapping(data, "inputs"),
            outputs=None if data.get("outputs") is None else fields.texts(data, "outputs"),
            keep=fields.texts(data, "keep"),
            priority=fields.integer(data, "priority", PRIORITY),
            timeout=TIMEOUT_S if timeout_s is None else timeout_s,
            retries=fields.integer(data, "retries"),
            payload=Payload.from_json(payload) if payload else None,
            cell=Cell.from_json(cell) if cell else None,
            python=fields.text(data, "python"),
            signature=fields.text(data, "signature"),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a task. `why`: how it ended, empty while it runs; `message`: the error's."""

    attempt: int
    worker: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    why: str = ""
    message: str = ""

    def as_json(self) -> JsonObject:
        return {
            "attempt": self.attempt,
            "worker": self.worker,
            "started_at": time_as_json(self.started_at),
            "ended_at": time_as_json(self.ended_at),
            "why": self.why,
            "said": self.message,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Attempt:
        return cls(
            fields.integer(data, "attempt", 1),
            fields.optional_text(data, "worker"),
            fields.time(data, "started_at"),
            fields.time(data, "ended_at"),
            fields.text(data, "why"),
            fields.text(data, "said"),
        )


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """A task as `GET /tasks/{id}` and the pages of `GET /tasks` show it; what answers a
    submission or a cancellation is a part of it.

    `position`: in the queue, 1 starts next; `eta_s`: until it starts; both None once it runs.
    `result` and `error` stand only in the answer for a single task.
    """

    task_id: str
    status: State = QUEUED
    name: str = ""
    position: int | None = None
    eta_s: float | None = None
    attempts: int = 0
    priority: int = PRIORITY
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    worker: str | None = None
    cancel_requested: bool = False
    result: Json = None
    error: ErrorInfo | None = None
    history: tuple[Attempt, ...] = ()

    @property
    def final(self) -> bool:
        return self.status in FINAL

    def as_json(self) -> JsonObject:
        return {
            "task_id": self.task_id,
            "name": self.name,
            "status": self.status,
            "position": self.position,
            "eta_s": self.eta_s,
            "attempts": self.attempts,
            "priority": self.priority,
            "created_at": time_as_json(self.created_at),
            "started_at": time_as_json(self.started_at),
            "completed_at": time_as_json(self.completed_at),
            "expires_at": time_as_json(self.expires_at),
            "worker": self.worker,
            "cancel_requested": self.cancel_requested,
            "result": self.result,
            "error": self.error.as_json() if self.error else None,
            "history": [attempt.as_json() for attempt in self.history],
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> TaskStatus:
        error = fields.mapping(data, "error")
        return cls(
            task_id=fields.text(data, "task_id"),
            status=cast(State, fields.text(data, "status", QUEUED)),
            name=fields.text(data, "name"),
            position=fields.optional_integer(data, "position"),
            eta_s=fields.number(data, "eta_s"),
            attempts=fields.integer(data, "attempts"),
            priority=fields.integer(data, "priority", PRIORITY),
            created_at=fields.time(data, "created_at"),
            started_at=fields.time(data, "started_at"),
            completed_at=fields.time(data, "completed_at"),
            expires_at=fields.time(data, "expires_at"),
            worker=fields.optional_text(data, "worker"),
            cancel_requested=fields.flag(data, "cancel_requested"),
            result=data.get("result"),
            error=ErrorInfo.from_json(error) if error else None,
            history=tuple(map(Attempt.from_json, fields.objects(data, "history"))),
        )


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of `GET /tasks`, the newest first. `next`: the cursor of the page after it."""

    tasks: tuple[TaskStatus, ...] = ()
    next: str | None = None

    def as_json(self) -> JsonObject:
        return {"tasks": [task.as_json() for task in self.tasks], "next": self.next}

    @classmethod
    def from_json(cls, data: JsonObject) -> TaskPage:
        tasks = tuple(map(TaskStatus.from_json, fields.objects(data, "tasks")))
        return cls(tasks, fields.optional_text(data, "next"))

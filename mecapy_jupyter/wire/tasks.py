"""A task as it is submitted, and as the gateway shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mecapy_jupyter.wire.defaults import POOL, PRIORITY, TIMEOUT_S
from mecapy_jupyter.wire.json_fields import Json
from mecapy_jupyter.wire.machines import Resources
from mecapy_jupyter.wire.outcome import ErrorInfo, Payload
from mecapy_jupyter.wire.result_cache import CacheKeys
from mecapy_jupyter.wire.shape import OPTIONAL, Shape
from mecapy_jupyter.wire.states import FINAL, QUEUED, State


@dataclass(frozen=True, slots=True)
class Cell(Shape):
    """Where the code stands in its notebook: `header` above it, which the page counts as line 1."""

    number: int = 0  # execution count, as in "Cell In[5]"; 0: not from a notebook
    header: str = ""  # the `%%mecapy …` line
    filename: str = ""  # what the notebook's IPython calls it in tracebacks


@dataclass(frozen=True, slots=True)
class TaskRequest(Shape):
    """The body of `POST /tasks`. `inputs` are JSON values that become variables; `payload` is what
    Python clients send instead.

    `outputs`: names or globs of the variables to bring home; None: everything the code binds or
    changes. `timeout` in seconds of running; `retries`: further attempts after a failing one (a
    lost worker is always retried). `keep`: globs of files, relative to the task's folder, that come
    home with the result (Python clients only). `python`: "major.minor" the payload was pickled
    with, and so of the worker; "": any will do. `signature`: by the submitter's own key, for their
    kernels alone. `sweep`: the name of the sweep that it is a part of; `points`: the keys of the
    points that it computes. `needs`: variables that are results of other tasks, as `wire.Need`; the
    task is blocked until all of those are completed. `workflow`: the id of the one it belongs to.
    `resources`: what its machine must have. `cache`: a kept result of these keys will do, and this
    one's is kept. `packages`: requirements, as "gmsh==4.13", that it can import besides what the
    workers have. `escalate`: out of time, it runs again on a faster machine. `notify`: who is
    notified of its end: `mail`, `webhook` or a URL.
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
    sweep: str = field(default="", metadata=OPTIONAL)
    points: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    needs: dict[str, str] = field(default_factory=dict[str, str], metadata=OPTIONAL)
    workflow: str = field(default="", metadata=OPTIONAL)
    resources: Resources | None = field(default=None, metadata=OPTIONAL)
    cache: CacheKeys | None = field(default=None, metadata=OPTIONAL)
    packages: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    escalate: bool = field(default=False, metadata=OPTIONAL)
    notify: tuple[str, ...] = field(default=(), metadata=OPTIONAL)


@dataclass(frozen=True, slots=True)
class Attempt(Shape):
    """One attempt at a task. `why`: how it ended, empty while it runs; `message`: the error's."""

    attempt: int
    worker: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    why: str = ""
    message: str = field(default="", metadata={"key": "said"})
    machine_class: str = ""


@dataclass(frozen=True, slots=True)
class TaskStatus(Shape):
    """A task as `GET /tasks/{id}` and the pages of `GET /tasks` show it; what answers a
    submission or a cancellation is a part of it.

    `position`: in the queue, 1 starts next; `eta_s`: until it starts; both None once it runs.
    `result` and `error` stand only in the answer for a single task,
    as do `parents`: the ids of the tasks whose results it needs; and `cost`: euros, None: no price
    is known. `machine_class`: of the machine it goes to; `why_there`: why, "" where nothing led
    away from the pool. `estimate_s`: of running, by its code's history, raised when outlived.
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
    parents: tuple[str, ...] = ()
    workflow: str = ""
    machine_class: str = POOL
    why_there: str = ""
    cost: float | None = None
    estimate_s: float | None = None

    @property
    def final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class TaskLimit(Shape):
    """The answer to `POST /tasks/{id}/extend`. `timeout_s`: of running, after which it is stopped
    now.
    """

    task_id: str
    status: State = QUEUED
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TaskPage(Shape):
    """A page of `GET /tasks`, the newest first. `next`: the cursor of the page after it."""

    tasks: tuple[TaskStatus, ...] = ()
    next: str | None = None

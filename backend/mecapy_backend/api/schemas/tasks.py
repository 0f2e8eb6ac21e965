"""A task as it is submitted, looked at, listed and ended."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from mecapy_backend.api.schemas.common import Digest, NotifyTargets, PointKey, Request, State
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject

_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


class PayloadBody(Request):
    """Pickled values, from Python clients only. The gateway and the workers never open them; the
    confined child does.
    """

    pickle: Annotated[str, Field(pattern=_BASE64)] = ""
    pickle_blob: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    buffers: Annotated[list[Digest], Field(max_length=100_000)] = []


class CellBody(Request):
    """Where the code stands in its notebook, so that errors name the user's own lines."""

    number: Annotated[int, Field(ge=0, le=10**9)] = 0
    header: Annotated[str, Field(max_length=10_000)] = ""
    filename: Annotated[str, Field(max_length=1_000)] = ""


class ResourcesBody(Request):
    """What the machine must have; the cheapest class that offers it is taken (`GET /machines`)."""

    cpus: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    memory_bytes: Annotated[int, Field(ge=0, le=2**53)] = 0
    gpu: Annotated[str, Field(max_length=100, description="a type, or `any`")] = ""
    machine: Annotated[str, Field(max_length=100, description="a class of machines")] = ""


class CacheBody(Request):
    """A kept result of one of these keys answers the submission, with its own task's id; else the
    result of this one is kept, unless the worker sees it read something that no key covers.
    """

    key: Annotated[
        str,
        Field(min_length=1, max_length=100, description="hash of all that the result depends on"),
    ]
    seeded: Annotated[
        str, Field(max_length=100, description="the same hash, with the random state")
    ] = ""
    again: Annotated[bool, Field(description="run, and replace the kept result")] = False
    files: Annotated[
        list[Annotated[str, Field(max_length=1000)]],
        Field(max_length=10_000, description="files that the keys include"),
    ] = []


class TaskBody(Request):
    """A task to run. Only `code` is required."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"code": "a + b", "inputs": {"a": 1, "b": 2}, "name": "sum", "timeout": 60}
        }
    )

    code: Annotated[
        str,
        Field(min_length=1, description="Python; the value of the last expression is the result"),
    ]
    name: Annotated[str, Field(max_length=200, description="shown in lists, and to filter by")] = ""
    inputs: Annotated[
        dict[Annotated[str, Field(max_length=200)], JsonValue],
        Field(description="become variables of the code"),
    ] = {}
    outputs: Annotated[
        list[Annotated[str, Field(max_length=200)]] | None,
        Field(
            max_length=1000,
            description="names (or globs) of variables to return as an object; none: the last "
            "expression",
        ),
    ] = None
    keep: Annotated[
        list[Annotated[str, Field(max_length=200)]],
        Field(max_length=100, description="globs of files that come home (Python clients)"),
    ] = []
    priority: Annotated[int, Field(ge=0, le=9, description="9 starts first")] = wire.PRIORITY
    timeout: Annotated[
        float, Field(gt=0, description="run time in seconds after which the task fails")
    ] = wire.TIMEOUT_S
    retries: Annotated[
        int, Field(ge=0, le=10, description="further attempts when the code fails")
    ] = 0
    payload: PayloadBody | None = None
    cell: CellBody | None = None
    python: Annotated[
        str,
        Field(
            pattern=r"^(3\.\d{1,2})?$",
            description='"major.minor" the payload was pickled with: runs on no other; empty: on '
            "any",
        ),
    ] = ""
    signature: Annotated[
        str,
        Field(pattern=r"^([0-9a-f]{64})?$", description="HMAC that Python clients add"),
    ] = ""
    resources: ResourcesBody | None = None
    escalate: Annotated[
        bool,
        Field(
            description="out of time, run again on a class with more processors, twice as long, "
            "at most twice"
        ),
    ] = False
    sweep: Annotated[
        str, Field(max_length=200, description="name of the sweep that it is a part of")
    ] = ""
    points: Annotated[
        list[PointKey],
        Field(max_length=wire.MOST_POINTS, description="keys of the sweep's points it computes"),
    ] = []
    needs: Annotated[
        dict[
            Annotated[str, Field(max_length=200)],
            Annotated[str, Field(pattern=wire.NEED, max_length=wire.NEED_CHARS)],
        ],
        Field(
            max_length=wire.MOST_NEEDS,
            description="variables that are results of my other tasks, as "
            "`task:<id>:<variable>`, without a variable the whole result; the task is `blocked` "
            "until those are completed",
        ),
    ] = {}
    workflow: Annotated[
        str,
        Field(
            pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$",
            description="the id of the workflow it belongs to",
        ),
    ] = ""
    packages: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]],
        Field(
            max_length=100,
            description='requirements, as "gmsh==4.13", that the code can import besides what '
            "the workers have",
        ),
    ] = []
    notify: NotifyTargets = []
    cache: CacheBody | None = None

    @model_validator(mode="after")
    def _is_alone(self) -> Self:
        if self.cache and (self.needs or self.workflow):
            raise ValueError("cache: not with needs or workflow, whose results have no key yet")
        return self

    def stored(self) -> JsonObject:
        """What the row keeps: what releases before did not know is left out while it is empty, so
        that a request repeated across an update is the same.
        """
        return self.model_dump(exclude={name for name in _ADDED if not getattr(self, name)})


_ADDED = ("sweep", "points", "needs", "workflow", "packages", "cache", "escalate", "notify")


class SubmittedView(BaseModel):
    task_id: str
    status: State
    position: Annotated[int | None, Field(description="1: starts next")]
    why_there: Annotated[
        str, Field(description="the class of machines it goes to, and why; empty: the pool")
    ] = ""
    estimate: Annotated[
        str, Field(description="expected cost of the run, from earlier runs; empty: none")
    ] = ""
    estimate_s: Annotated[float | None, Field(description="expected run time")] = None
    cached: Annotated[
        dict[str, Any] | None,
        Field(
            description="{ran_at, seconds, request}: nothing was submitted, this task ran before"
        ),
    ] = None
    same_runs: Annotated[
        bool,
        Field(description="nothing was submitted: a task with the same cache key has not ended"),
    ] = False


class AttemptView(BaseModel):
    attempt: int
    worker: str | None
    started_at: datetime | None
    ended_at: datetime | None
    why: Annotated[
        str,
        Field(
            description="how it ended: `completed`, `cancelled`, `worker_lost`, `worker_left`, or "
            "the error's kind; empty: it runs"
        ),
    ]
    said: Annotated[str, Field(description="the error's message")]
    machine_class: str = ""


class TaskView(BaseModel):
    task_id: str
    name: str
    status: State
    position: Annotated[
        int | None,
        Field(
            description="place in the queue, 1 starts next; null once it is not queued; an "
            "estimate where many users start several tasks before it"
        ),
    ] = None
    eta_s: Annotated[
        float | None,
        Field(description="estimated seconds until it starts, from recent and running tasks"),
    ] = None
    attempts: Annotated[int, Field(description="number of attempts so far")]
    priority: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: Annotated[
        datetime | None,
        Field(description="when it will be deleted, once it is final; DELETE does so sooner"),
    ] = None
    worker: str | None
    machine_class: Annotated[str, Field(description="class of the machine that it goes to")]
    why_there: Annotated[str, Field(description="why it goes there; empty: default")]
    estimate_s: Annotated[
        float | None,
        Field(description="expected run time, from earlier runs; null: unknown"),
    ] = None
    cost: Annotated[float | None, Field(description="euros of all attempts; null: unknown")] = None
    cancel_requested: bool
    result: Annotated[Any, Field(description="JSON result; null in a list and while not final")] = (
        None
    )
    error: Annotated[
        dict[str, Any] | None, Field(description="{kind, type, message, line, traceback}")
    ] = None
    history: Annotated[
        list[AttemptView], Field(description="every attempt, the first one first; empty in a list")
    ] = []
    parents: Annotated[
        list[str], Field(description="the tasks whose results it needs; empty in a list")
    ] = []
    workflow: Annotated[str, Field(description="id of its workflow; empty: none")] = ""


class PageView(BaseModel):
    tasks: list[TaskView]
    next: Annotated[str | None, Field(description="give it as `cursor` to get the next page")]


class ResultView(BaseModel):
    task_id: str
    status: Literal["completed", "failed", "cancelled"]
    result: Annotated[Any, Field(description="JSON; what JSON cannot hold stands as {repr: text}")]
    error: dict[str, Any] | None
    seconds: float
    payload: Annotated[
        dict[str, Any] | None,
        Field(description="for Python clients: pickled values, for the owner's own kernel only"),
    ]


class SharedView(BaseModel):
    task_id: str
    path: Annotated[str, Field(description="path of its page, for my organisation")]


class CancelView(BaseModel):
    task_id: str
    status: Annotated[
        State,
        Field(
            description="`running` while the worker is asked to stop it; the final event follows"
        ),
    ]

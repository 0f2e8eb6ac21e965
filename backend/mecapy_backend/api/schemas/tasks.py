"""A task as it is submitted, looked at, listed and ended."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from mecapy_backend.api.schemas.common import Digest, NotifyTargets, PointKey, Request
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


class ExtendBody(Request):
    seconds: Annotated[float, Field(gt=0, le=10**8, description="added to its timeout")]


class NotifyBody(Request):
    notify: NotifyTargets
    check: Annotated[bool, Field(description="change nothing; only refuse what is refused")] = False


class CommBody(Request):
    comm_id: Annotated[str, Field(min_length=1, max_length=128, description="of its `comm_open`")]
    data: Annotated[dict[str, JsonValue], Field(description="as in Jupyter's `comm_msg`")]
    buffers: Annotated[list[str], Field(max_length=1000, description="in base64")] = []


class CommsBody(Request):
    messages: Annotated[list[CommBody], Field(min_length=1, max_length=200)]

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

    pickle: str = Field(default="", pattern=_BASE64)
    pickle_blob: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    buffers: list[Digest] = Field(default=[], max_length=100_000)


class CellBody(Request):
    """Where the code stands in its notebook, so that errors name the user's own lines."""

    number: int = Field(default=0, ge=0, le=10**9)
    header: str = Field(default="", max_length=10_000)
    filename: str = Field(default="", max_length=1_000)


class ResourcesBody(Request):
    """What the machine must have; the cheapest class that offers it is taken (`GET /machines`)."""

    cpus: float = Field(default=0.0, ge=0, le=10_000)
    memory_bytes: int = Field(default=0, ge=0, le=2**53)
    gpu: str = Field(default="", max_length=100)
    """A type, or `any`."""

    machine: str = Field(default="", max_length=100)
    """A class of machines."""


class CacheBody(Request):
    """A kept result of one of these keys answers the submission, with its own task's id; else the
    result of this one is kept, unless the worker sees it read something that no key covers.
    """

    key: str = Field(min_length=1, max_length=100)
    """Hash of all that the result depends on."""

    seeded: str = Field(default="", max_length=100)
    """The same hash, with the random state."""

    again: bool = False
    """Run, and replace the kept result."""

    files: list[Annotated[str, Field(max_length=1000)]] = Field(default=[], max_length=10_000)
    """Files that the keys include."""

    versions: dict[
        Annotated[str, Field(max_length=200)], Annotated[str, Field(max_length=1000)]
    ] = Field(default={}, max_length=10_000)
    """Packages and their versions, as the keys name them. The worker keeps no result of others."""


class TaskBody(Request):
    """A task to run. Only `code` is required."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"code": "a + b", "inputs": {"a": 1, "b": 2}, "name": "sum", "timeout": 60}
        }
    )

    code: str = Field(min_length=1)
    """Python; the value of the last expression is the result."""

    name: str = Field(default="", max_length=200)
    """Shown in lists, and to filter by."""

    inputs: dict[Annotated[str, Field(max_length=200)], JsonValue] = {}
    """Become variables of the code."""

    outputs: list[Annotated[str, Field(max_length=200)]] | None = Field(
        default=None, max_length=1000
    )
    """Names (or globs) of variables to return as an object; none: the last expression."""

    keep: list[Annotated[str, Field(max_length=200)]] = Field(default=[], max_length=100)
    """Globs of files that come home (Python clients)."""

    priority: int = Field(default=wire.PRIORITY, ge=0, le=9)
    """9 starts first."""

    timeout: float = Field(default=wire.TIMEOUT_S, gt=0)
    """Run time in seconds after which the task fails."""

    retries: int = Field(default=0, ge=0, le=10)
    """Further attempts when the code fails."""

    payload: PayloadBody | None = None
    cell: CellBody | None = None
    python: str = Field(default="", pattern=r"^(3\.\d{1,2})?$")
    """The Python that the payload was pickled with, as "3.12": runs on no other; empty: on any."""

    signature: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """HMAC that Python clients add."""

    resources: ResourcesBody | None = None
    escalate: bool = False
    """Out of time, run again on a class with more processors, twice as long, at most twice."""

    sweep: str = Field(default="", max_length=200)
    """Name of the sweep that it is a part of."""

    points: list[PointKey] = Field(default=[], max_length=wire.MOST_POINTS)
    """Keys of the sweep's points it computes."""

    needs: dict[
        Annotated[str, Field(max_length=200)],
        Annotated[str, Field(pattern=wire.NEED, max_length=wire.NEED_CHARS)],
    ] = Field(default={}, max_length=wire.MOST_NEEDS)
    """Variables that are results of my other tasks, as `task:<id>:<variable>`, without a variable
    the whole result; the task is `blocked` until those are completed.
    """

    workflow: str = Field(default="", pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?$")
    """The id of the workflow it belongs to."""

    packages: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default=[], max_length=100
    )
    """Requirements, as "gmsh==4.13", that the code can import besides what the workers have."""

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
    seconds: float = Field(gt=0, le=10**8)
    """Added to its timeout."""


class NotifyBody(Request):
    notify: NotifyTargets
    check: bool = False
    """Change nothing; only refuse what is refused."""


class CommBody(Request):
    comm_id: str = Field(min_length=1, max_length=128)
    """The id in its `comm_open`."""

    data: dict[str, JsonValue]
    """As in Jupyter's `comm_msg`."""

    buffers: list[str] = Field(default=[], max_length=1000)
    """In base64."""


class CommsBody(Request):
    messages: list[CommBody] = Field(min_length=1, max_length=200)

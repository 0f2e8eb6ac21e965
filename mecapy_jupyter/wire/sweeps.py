"""A sweep as the gateway keeps it: a named list of points, and the tasks that compute them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias

from mecapy_jupyter.wire.json_fields import Json, JsonObject
from mecapy_jupyter.wire.shape import Shape
from mecapy_jupyter.wire.states import QUEUED, State

SweepState: TypeAlias = Literal["running", "paused", "cancelled"]
PAUSED: Final = "paused"
MOST_POINTS: Final = 200_000


@dataclass(frozen=True, slots=True)
class SweepRequest(Shape):
    """The body of `POST /sweeps`. `points`: the content key of each point, in the order of the
    table. `about`: what the client notes of the code and its versions.
    """

    name: str
    points: tuple[str, ...] = ()
    about: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class SweepTask(Shape):
    """A task of a sweep. `points`: the keys of the points that it computes, in their order."""

    task_id: str
    status: State = QUEUED
    points: tuple[str, ...] = ()
    worker: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SweepStatus(Shape):
    """`GET /sweeps/{name}`; in a list without `points` and `tasks`. `at`: the store's time, for the
    next `since`.
    """

    name: str
    state: SweepState = "running"
    point_count: int = 0
    created_at: datetime | None = None
    changed_at: datetime | None = None
    at: datetime | None = None
    about: JsonObject = field(default_factory=dict[str, Json])
    points: tuple[str, ...] = ()
    tasks: tuple[SweepTask, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepList(Shape):
    """The answer of `GET /sweeps`, the one that changed last first."""

    sweeps: tuple[SweepStatus, ...] = ()

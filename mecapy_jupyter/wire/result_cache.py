"""The cache of results: the keys of a task's result, and what is reported about a hit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mecapy_jupyter.wire.json_fields import Json, JsonObject
from mecapy_jupyter.wire.shape import Shape


@dataclass(frozen=True, slots=True)
class CacheKeys(Shape):
    """`key`: names all that the result depends on; `seeded`: with the random state it starts with.
    A run that read that state is found by the second alone. `again`: run, and replace what is kept.
    `files`: paths of the task's folder whose content the keys cover. `versions`: of packages, as
    the keys name them: several after commas where workers differ, empty where none was known.
    """

    key: str
    seeded: str = ""
    again: bool = False
    files: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class CachedRun(Shape):
    """The run that a result comes from. `request`: as it was submitted, for its signature."""

    ran_at: datetime | None = None
    seconds: float = 0.0
    request: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True)
class CacheEntry(Shape):
    """A kept result. `code`: the first line of its code. `expires_at`: when its task is deleted."""

    task_id: str
    name: str = ""
    code: str = ""
    ran_at: datetime | None = None
    seconds: float = 0.0
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CacheList(Shape):
    """The newest kept results first; `count` and `seconds` are of all."""

    entries: tuple[CacheEntry, ...] = ()
    count: int = 0
    seconds: float = 0.0

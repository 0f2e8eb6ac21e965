"""Classes of machines, the machines, and the figures that an outside scaler reads."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class CredentialsView(BaseModel):
    environment: Annotated[dict[str, str], Field(description="environment variables of its worker")]


class ClassView(BaseModel):
    name: str
    cpus: Annotated[float, Field(description="for one task; 0: not known")]
    memory_bytes: Annotated[int, Field(description="for one task; 0: not known")]
    gpu: str
    price: Annotated[float, Field(description="euros an hour")]
    provider: Annotated[str, Field(description="empty: workers are started by hand")]
    on_demand: Annotated[bool, Field(description="starts when a task needs it")]
    boot_s: float
    min: int
    max: int
    free: Annotated[int, Field(description="places for tasks now")]
    queued: Annotated[int, Field(description="tasks that wait for it")]
    refused: Annotated[str, Field(description="why its last machine could not start")]


class MachineView(BaseModel):
    id: str
    machine_class: str
    provider: str
    state: str
    worker: str | None
    age_s: float
    why: str


class MachinesView(BaseModel):
    classes: list[ClassView]
    machines: list[MachineView]
    spent_today: Annotated[float, Field(description="euros since midnight (UTC)")]


class ScaleView(BaseModel):
    queued: Annotated[int, Field(description="tasks that may start and wait")]
    queued_s: Annotated[float, Field(description="their work, in seconds of one slot")]
    oldest_wait_s: float
    running: int
    workers: Annotated[int, Field(description="live workers that take tasks")]
    wanted: Annotated[int, Field(description="workers that there should be")]

"""A plain model of tasks: what the store's state machine must do, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mecapy_jupyter import wire


@dataclass
class Row:
    """The model of a task."""

    owner: str
    state: str = wire.QUEUED
    attempt: int = 0
    losses: int = 0
    worker: str | None = None
    overdue: bool = False  # its lease is over
    cancel_requested: bool = False
    retries: int = 0
    went_out: bool = False  # has used the network
    outcome: dict[str, Any] | None = None
    parents: set[str] = field(default_factory=set[str])
    awaited: bool = False  # was a parent before it had completed

    @property
    def waits(self) -> bool:
        return self.state in (wire.QUEUED, wire.BLOCKED)

    @property
    def once(self) -> bool:
        return self.went_out and not self.retries

    def end(self, outcome: wire.Outcome) -> None:
        self.state, self.outcome = outcome.state, outcome.as_json()

    def back(self) -> None:
        self.state, self.worker = wire.QUEUED, None


@dataclass(frozen=True)
class Hold:
    """What a worker believes to hold."""

    task_id: str
    attempt: int
    worker: str


@dataclass
class Model:
    rows: dict[str, Row] = field(default_factory=dict[str, Row])
    keys: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict[tuple[str, str], tuple[str, str]]
    )  # → id, code

    def queued(self, owner: str) -> int:
        return sum(row.owner == owner and row.waits for row in self.rows.values())

    def below(self, task_id: str) -> set[str]:
        """All that needs its result, at any distance."""
        found, new = set[str](), {task_id}
        while new:
            new = {id for id, row in self.rows.items() if row.parents & new} - found
            found |= new
        return found

    def is_blocked(self, row: Row) -> bool:
        return any(self.rows[parent].state != wire.COMPLETED for parent in row.parents)

    def held(self, hold: Hold) -> Row | None:
        """The row, if this attempt still counts."""
        row = self.rows.get(hold.task_id)
        return row if row and row.state == wire.RUNNING and row.attempt == hold.attempt else None

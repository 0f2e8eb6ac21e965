"""What is certain at one point of a cell."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class State:
    """`bound`: bound on every path to here. `read`: read on every path before the cell bound it.
    `stored`: bound on some path without being read first. Not `alive`: no path leads here.
    """

    bound: set[str] = field(default_factory=set[str])
    read: set[str] = field(default_factory=set[str])
    stored: set[str] = field(default_factory=set[str])
    alive: bool = True

    def copy(self) -> State:
        return State(self.bound.copy(), self.read.copy(), self.stored.copy(), self.alive)

    def dead(self) -> State:
        return State(self.bound, self.read, self.stored, alive=False)


def joined(*states: State) -> State:
    """Where paths join."""
    alive = [state for state in states if state.alive]
    if len(alive) < 2:
        return (alive or states)[0].copy()
    first, *others = alive
    return State(
        first.bound.intersection(*(other.bound for other in others)),
        first.read.intersection(*(other.read for other in others)),
        first.stored.union(*(other.stored for other in others)),
    )


def interrupted(entry: State, log: list[tuple[bool, str]]) -> State:
    """The state if anything since `entry` may have raised: `log` has what was bound (True) and
    deleted since.
    """
    gone = {name for stored, name in log if not stored}
    stored = {name for stored, name in log if stored} - entry.read
    return State(entry.bound - gone, entry.read.copy(), entry.stored | stored, entry.alive)

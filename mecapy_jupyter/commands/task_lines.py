"""Lists of tasks: a map or a sweep is one line for each state of its tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from mecapy_jupyter import wire
from mecapy_jupyter.shared.units import clean

_T = TypeVar("_T", wire.TaskStatus, wire.TaskOfUser)


def together(tasks: Iterable[_T]) -> Iterator[list[_T]]:
    """One line's tasks: those of one map that follow each other, or a single one."""

    def line_of(task: _T) -> tuple[str, str, str]:
        user = task.user if isinstance(task, wire.TaskOfUser) else ""
        return user, task.status, _map_of(task.name) or task.task_id

    return (list(line) for _, line in groupby(tasks, key=line_of))


def name_of(tasks: Sequence[wire.TaskStatus] | Sequence[wire.TaskOfUser]) -> str:
    """`solve × 1200 in 40 tasks`, or the name of the single one."""
    name = tasks[0].name
    if len(tasks) == 1:
        return name
    calls = sum(int(task.name.rpartition(wire.TIMES)[2]) for task in tasks)
    return f"{clean(_map_of(name), 24)}{wire.TIMES}{calls} in {len(tasks)} tasks"


def _map_of(name: str) -> str:
    """The name of the map or sweep that a task is a chunk of."""
    whole, times, calls = name.rpartition(wire.TIMES)
    return whole if times and calls.isdecimal() else ""

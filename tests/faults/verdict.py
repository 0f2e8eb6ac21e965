"""What became of every task of a soak: its row and its whole life as PostgreSQL has them, what the
API serves, what was left behind.

Before it: `soak`. The law of a life is `history`; what must come of an order, it knows itself
(`orders`).
"""

from __future__ import annotations

import itertools
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from . import history
from .customers import Ledger
from .promises import left_behind
from .stack import Stack

_SAMPLE = 100


@dataclass
class Verdict:
    """`lost`: without a row or an end. `doubled`: two tasks of one order, two ends, a life that is
    none. `wrong`: not the right end.
    """

    lost: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])
    attempts: int = 0
    queued_s: float = 0.0
    took_s: float = 0.0

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.left)

    def __str__(self) -> str:
        found = [
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("wrong", self.wrong),
            ("left behind", self.left),
        ]
        lines = [", ".join(f"{name} = {len(what)}" for name, what in found)]
        lines.append(
            f"longest wait: {self.queued_s:.1f} s in the queue, {self.took_s:.1f} s from accepted "
            f"to its end"
        )
        return "\n".join(lines + [f"{name}: {one}" for name, what in found for one in what[:20]])


def of(stack: Stack, ledger: Ledger, seed: str, *, others: bool = False) -> Verdict:
    """`others`: there are tasks of other ledgers, too."""
    rows = {row["id"]: row for row in stack.sql(f"SELECT {_COLUMNS} FROM tasks")}
    if others:
        rows = {task_id: row for task_id, row in rows.items() if task_id in ledger.orders}
    verdict = Verdict(
        wrong=[*ledger.wrong, *_served(stack, random.Random(seed), ledger)], left=_left(stack)
    )
    verdict.lost += [
        f"{task_id} {order.kind}" for task_id, order in ledger.orders.items() if task_id not in rows
    ]
    verdict.doubled += [
        f"{task_id} that nobody ordered" for task_id in rows.keys() - ledger.orders.keys()
    ]
    lives = defaultdict[str, list[Any]](list)
    for step in stack.sql(f"SELECT {_STEPS} FROM history ORDER BY n"):
        lives[step["id"]].append(step)
    for task_id, row in rows.items():
        _judge(verdict, ledger, row, lives[task_id])
    return verdict


_COLUMNS = (
    "id::text AS id, state, attempt, outcome, log, extract(epoch FROM completed_at - "
    "created_at)::float8 AS took_s"
)
_STEPS = "task::text AS id, at, was, now, was_attempt, attempt, changed_outcome"


def _judge(verdict: Verdict, ledger: Ledger, row: Any, life: list[Any]) -> None:
    if row["state"] not in history.FINAL:
        verdict.lost.append(f"{row['id']} is {row['state']}")
        return
    steps = [
        history.Step(
            step["was"], step["now"], step["was_attempt"], step["attempt"], step["changed_outcome"]
        )
        for step in life
    ]
    try:
        history.check(steps)
    except AssertionError as illegal:
        verdict.doubled.append(f"{row['id']} {illegal}")
    if (order := ledger.orders.get(row["id"])) and (
        why := order.wrong(row, json.loads(row["outcome"]), _printed(row))
    ):
        verdict.wrong.append(f"{row['id']} {order.kind} {why}; stderr: {_printed(row, 'stderr')}")
    verdict.attempts += row["attempt"]
    verdict.took_s = max(verdict.took_s, row["took_s"])
    waits_s = [
        (after["at"] - before["at"]).total_seconds()
        for before, after in itertools.pairwise(life)
        if before["now"] == "queued"
    ]
    verdict.queued_s = max(verdict.queued_s, *waits_s)


def _printed(row: Any, stream: str = "stdout") -> str:
    return "".join(
        event["data"]["text"] for event in json.loads(row["log"] or "[]") if event["type"] == stream
    )


def _served(stack: Stack, rng: random.Random, ledger: Ledger) -> list[str]:
    """The API says of these tasks what was ordered, and their stream has one end."""
    wrong: list[str] = []
    with stack.http() as http:
        for task_id in rng.sample(sorted(ledger.orders), min(_SAMPLE, len(ledger.orders))):
            order, answer = ledger.orders[task_id], http.get(f"/tasks/{task_id}/result").json()
            if answer.get("status") == "completed" and answer["result"] != order.result:
                wrong.append(f"{task_id} is served as {answer}")
            text = http.get(f"/tasks/{task_id}/events", params={"follow": False}).text
            ends = [
                line for line in text.splitlines() if line.removeprefix("event: ") in history.FINAL
            ]
            if len(ends) != 1:
                wrong.append(f"the stream of {task_id} ends {len(ends)} times")
    return wrong


def _left(stack: Stack) -> list[str]:
    try:
        stack.until(lambda: not left_behind(stack), "nothing is left behind")
    except AssertionError:
        return left_behind(stack)
    return []

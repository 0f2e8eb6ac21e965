"""The store's state machine against a plain model of it: any steps in any order, on time and too
late, on real PostgreSQL.

What a step answers and what every row then says must be what the model says. `MECAPY_EXAMPLES=500`
looks longer; the same runs every time.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

pytest.importorskip(
    "mecapy_backend.store.tasks",
    reason="needs the server parts (pip install 'mecapy-jupyter[local]')",
)

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from mecapy_backend.store import database, tables, tasks
from mecapy_backend.store.tasks import cancelling, graph, submission
from mecapy_jupyter import wire

EXAMPLES = int(os.environ.get("MECAPY_EXAMPLES", "25"))
OWNERS = ("ann", "bob")
MAX_LOSSES, MAX_QUEUED = 3, 4
WORKERS = st.sampled_from(["w1", "w2", "w3"])
OUTCOMES = st.sampled_from(
    [
        wire.Outcome(wire.COMPLETED, result=1),
        wire.Outcome(wire.FAILED, error=wire.ErrorInfo("cell", "ValueError", "no")),
        wire.Outcome(wire.CANCELLED),
    ]
)


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


class Store(RuleBasedStateMachine):
    """Rules do what gateways, workers and the reconciler do."""

    url = ""
    submitted: Bundle[str] = Bundle("submitted")
    holds: Bundle[Hold] = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.db = database.connect(self.url, connect_s=60)
        self.model = Model()

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def empty(self) -> None:
        self.do(self._sql(sa.text("TRUNCATE tasks, task_inputs, sweep_tasks, blobs")))

    async def _sql(self, statement: Any) -> Any:
        async with self.db.connect() as connection:
            return await connection.execute(statement)

    def teardown(self) -> None:
        self.do(self.db.dispose())
        self.loop.close()

    # What gateways do

    @rule(
        target=submitted,
        owner=st.sampled_from(OWNERS),
        key=st.sampled_from(["", "k1", "k2"]),
        code=st.sampled_from(["1", "2"]),
    )
    def submit(self, owner: str, key: str, code: str) -> str:
        known = self.model.keys.get((owner, key)) if key else None
        asked = tasks.submit(
            self.db,
            owner,
            wire.TaskRequest(code, retries=int(code == "2")).as_json(),
            idempotency_key=key or None,
            max_queued=MAX_QUEUED,
        )
        try:
            answer = self.do(asked)
        except submission.Conflict:
            assert known and known[1] != code
            return known[0]
        except submission.TooManyQueued:
            assert not known and self.model.queued(owner) == MAX_QUEUED
            return "00000000-0000-0000-0000-000000000000"
        if known:
            assert (answer.task_id, answer.created, answer.state) == (
                known[0],
                False,
                self.model.rows[known[0]].state,
            )
        else:
            assert answer.created and self.model.queued(owner) < MAX_QUEUED
            self.model.rows[answer.task_id] = Row(owner, retries=int(code == "2"))
            if key:
                self.model.keys[owner, key] = answer.task_id, code
        return answer.task_id

    @rule(
        target=submitted,
        owner=st.sampled_from(OWNERS),
        parents=st.lists(submitted, min_size=1, max_size=3, unique=True),
    )
    def submit_below(self, owner: str, parents: list[str]) -> str:
        needs = {f"v{at}": str(wire.Need(parent)) for at, parent in enumerate(parents)}
        body = wire.TaskRequest("3", retries=1, needs=needs).as_json()
        rows = self.model.rows
        theirs = {id for id in parents if id not in rows or rows[id].owner != owner}
        try:
            answer = self.do(tasks.submit(self.db, owner, body, max_queued=MAX_QUEUED))
        except tasks.NoSuchParents as missing:
            assert set(missing.task_ids) == theirs
            return parents[0]
        except submission.TooManyQueued:
            assert not theirs and self.model.queued(owner) == MAX_QUEUED
            return parents[0]
        assert not theirs and self.model.queued(owner) < MAX_QUEUED
        row = Row(owner, retries=1, parents=set(parents))
        row.state = wire.BLOCKED if self.model.is_blocked(row) else wire.QUEUED
        for parent in parents:
            rows[parent].awaited |= rows[parent].state != wire.COMPLETED
        bad = {id for id in parents if rows[id].state in (wire.FAILED, wire.CANCELLED)}
        assert (answer.created, answer.state, set(answer.ended)) == (True, row.state, bad)
        rows[answer.task_id] = row
        return answer.task_id

    @rule(task_id=submitted, owner=st.sampled_from(OWNERS))
    def cancel_below(self, task_id: str, owner: str) -> None:
        stopped = self.do(tasks.cancel_below(self.db, owner, task_id))
        expected = set[cancelling.Stopped]()
        for id in self.model.below(task_id):
            row = self.model.rows[id]
            if row.owner != owner or row.state in wire.FINAL:
                continue
            row.cancel_requested = True
            if row.waits:
                row.end(wire.Outcome(wire.CANCELLED))
            expected.add(cancelling.Stopped(id, row.state, row.awaited))  # pyright: ignore[reportArgumentType]
        assert set(stopped) == expected

    @rule(task_id=submitted, owner=st.sampled_from(OWNERS))
    def cancel(self, task_id: str, owner: str) -> None:
        row = self.model.rows.get(task_id)
        answer = self.do(tasks.cancel(self.db, owner, task_id))
        if row is None or row.owner != owner:
            assert answer is None
            return
        ended = row.waits
        row.cancel_requested |= row.state not in wire.FINAL
        if ended:
            row.end(wire.Outcome(wire.CANCELLED))
        awaited = row.awaited and answer.state in (wire.CANCELLED, wire.RUNNING)
        assert (answer.state, answer.ended) == (row.state, ended)
        assert answer.awaited == awaited or not ended

    @rule(task_id=submitted, owner=st.sampled_from(OWNERS))
    def forget(self, task_id: str, owner: str) -> None:
        row = self.model.rows.get(task_id)
        mine = row is not None and row.owner == owner
        needed = {
            id
            for id, other in self.model.rows.items()
            if task_id in other.parents and other.state not in wire.FINAL
        }
        try:
            assert (self.do(tasks.forget(self.db, owner, task_id)) is not None) == mine
        except tasks.Needed as refused:
            assert mine and needed and set(refused.children) == needed
            return
        if mine:
            assert not needed
            del self.model.rows[task_id]
            for other in self.model.rows.values():
                other.parents.discard(task_id)
            self.model.keys = {
                key: known for key, known in self.model.keys.items() if known[0] != task_id
            }

    # What workers do

    @rule(target=holds, task_id=submitted, worker=WORKERS)
    def start(self, task_id: str, worker: str) -> Hold:
        row = self.model.rows.get(task_id)
        started = self.do(tasks.start(self.db, task_id, worker, 1000))
        if row is None or row.state != wire.QUEUED:
            assert started is None
            return Hold(task_id, 0, worker)
        row.state, row.attempt, row.worker, row.overdue = (
            wire.RUNNING,
            row.attempt + 1,
            worker,
            False,
        )
        assert started and (started.attempt, started.owner) == (row.attempt, row.owner)
        return Hold(task_id, started.attempt, worker)

    @rule(worker=WORKERS, lease_s=st.sampled_from([1000.0, -1.0]))
    def renew(self, worker: str, lease_s: float) -> None:
        """A lease of -1 s is one that has run out: the worker is not heard of any more."""
        mine = {
            task_id: row
            for task_id, row in self.model.rows.items()
            if row.state == wire.RUNNING and row.worker == worker
        }
        held = self.do(tasks.renew(self.db, worker, lease_s))
        assert sorted(held, key=repr) == sorted(
            (
                tasks.Lease(task_id, row.attempt, row.cancel_requested)
                for task_id, row in mine.items()
            ),
            key=repr,
        )
        for row in mine.values():
            row.overdue = lease_s < 0

    @rule(hold=holds, outcome=OUTCOMES, settles=st.booleans())
    def finish(self, hold: Hold, outcome: wire.Outcome, settles: bool) -> None:
        """A worker that dies after the final state settles nothing."""
        row = self.model.held(hold)
        done = self.do(tasks.finish(self.db, hold.task_id, hold.attempt, outcome))
        assert done == (tasks.Finished(row.awaited) if row else None)
        if row:
            row.end(outcome)
            if settles:
                self.settle(hold.task_id, row.state == wire.COMPLETED)

    @rule(task_id=submitted)
    def settle(self, task_id: str, completed: bool = False) -> None:
        """On time, late, or again: the children of a task that is not final stay as they are."""
        parent = self.model.rows.get(task_id)
        settled = self.do(graph.settle(self.db, [task_id], completed=completed))
        failed, released = set[str](), set[str]()
        blocked = {
            id
            for id in self.model.below(task_id)
            if parent is not None and self.model.rows[id].state == wire.BLOCKED
        }
        if parent and parent.state in (wire.FAILED, wire.CANCELLED):
            failed = blocked
        elif parent:
            for id in blocked:
                row = self.model.rows[id]
                if task_id in row.parents and not self.model.is_blocked(row):
                    released.add(id)
                    row.state = wire.QUEUED
        assert {task.id for task in settled.released} == released
        assert {id for id, _ in settled.failed} == failed
        for id, outcome in settled.failed:
            assert outcome.error and outcome.error.kind == "parent"
            self.model.rows[id].end(outcome)

    @rule()
    def settle_missed(self) -> None:
        """What the reconciler does: afterwards, whoever is blocked waits for somebody."""
        for task_id in self.do(graph.unsettled(self.db)):
            self.settle(task_id)
        for row in self.model.rows.values():
            if row.state == wire.BLOCKED:
                states = {self.model.rows[parent].state for parent in row.parents}
                assert states & {wire.BLOCKED, wire.QUEUED, wire.RUNNING}
                assert not states & {wire.FAILED, wire.CANCELLED}

    @rule(hold=holds)
    def went_out(self, hold: Hold) -> None:
        row = self.model.held(hold)
        assert self.do(tasks.mark_network_used(self.db, hold.task_id, hold.attempt)) == (
            row is not None
        )
        if row:
            row.went_out = True

    @rule(hold=holds)
    def requeue(self, hold: Hold) -> None:
        row = self.model.held(hold)
        answer = self.do(tasks.requeue(self.db, hold.task_id, hold.attempt))
        if row is None or row.cancel_requested:
            assert answer == ""
        elif row.once:
            assert answer == wire.RUNNING
        else:
            assert answer == wire.QUEUED
            row.back()

    @rule(target=holds, hold=holds, worker=WORKERS)
    def lose(self, hold: Hold, worker: str) -> Hold:
        """Its worker falls silent, it is taken back and started anew: from now on `hold` is a stale
        one, whose worker may come back.
        """
        self.renew(hold.worker, -1.0)
        self.expired()
        return self.start(hold.task_id, worker)

    # What the reconciler does

    @rule()
    def expired(self) -> None:
        requeued, lost, once, cancelled = set[str](), set[str](), set[str](), set[str]()
        for task_id, row in self.model.rows.items():
            if row.state != wire.RUNNING or not row.overdue:
                continue
            row.losses += 1
            if row.cancel_requested:
                row.end(wire.Outcome(wire.CANCELLED))
                cancelled.add(task_id)
            elif row.once:
                row.end(tasks.once_outcome())
                once.add(task_id)
            elif row.losses >= MAX_LOSSES:
                row.end(tasks.lost_outcome(MAX_LOSSES))
                lost.add(task_id)
            else:
                row.back()
                requeued.add(task_id)
        found = self.do(tasks.reclaim_expired(self.db, MAX_LOSSES))
        ended = [
            {task_id for task_id, _ in part} for part in (found.lost, found.once, found.cancelled)
        ]
        assert [{task.id for task in found.requeued}, *ended] == [requeued, lost, once, cancelled]
        assert set(found.awaited) == {
            id for id in lost | once | cancelled if self.model.rows[id].awaited
        }

    @rule()
    def waiting(self) -> None:
        """What the reconciler puts back into an empty Redis: all that is queued, each owner's
        oldest first, and nothing else.
        """
        queued = [task_id for task_id, row in self.model.rows.items() if row.state == wire.QUEUED]
        queued.sort(key=lambda task_id: self.model.rows[task_id].owner)
        assert [task.id for task in self.do(tasks.queued_tasks(self.db))] == queued

    def edges(self) -> set[tuple[str, str]]:
        return set(map(tuple, self.do(self._sql(sa.select(tables.task_inputs)))))

    # What must always be true

    @invariant()
    def same(self) -> None:
        assert self.edges() == {
            (id, parent) for id, row in self.model.rows.items() for parent in row.parents
        }
        columns = ("owner", "state", "attempt", "losses", "cancel_requested", "went_out", "outcome")
        found = self.do(self._sql(sa.select(tables.tasks)))
        rows = {row.id: row for row in found}
        assert rows.keys() == self.model.rows.keys()
        for task_id, row in self.model.rows.items():
            assert {name: getattr(rows[task_id], name) for name in columns} == {
                name: getattr(row, name) for name in columns
            }
            assert (rows[task_id].worker is not None) == (
                row.state == wire.RUNNING
            ) or row.state in wire.FINAL
            assert (
                (rows[task_id].completed_at is not None)
                == (row.state in wire.FINAL)
                == (row.outcome is not None)
            )


@pytest.mark.timeout(600)
def test_any_order_of_steps(database_url: str) -> None:
    """A stale attempt changes nothing, a final task stays as it is, losses and attempts are
    counted, keys and owners are respected.
    """
    Store.url = database_url
    run_state_machine_as_test(
        Store,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=40, derandomize=True, database=None,
            deadline=None, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip

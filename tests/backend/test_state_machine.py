"""The store's state machine against a plain model of it: any steps in any order, on time and too
late, on real PostgreSQL.

What a step answers and what every row then says must be what the model says. `MECAPY_EXAMPLES=500`
looks longer; the same runs every time.
"""

from __future__ import annotations

import os

import pytest
import sqlalchemy as sa

pytest.importorskip(
    "mecapy_backend.store.tasks",
    reason="needs the server parts (pip install 'mecapy-jupyter[local]')",
)

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, rule, run_state_machine_as_test

from mecapy_backend.store import tables, tasks
from mecapy_backend.store.tasks import graph
from mecapy_jupyter import wire

from .gateway_steps import SUBMITTED, GatewaySteps
from .task_model import Hold

EXAMPLES = int(os.environ.get("MECAPY_EXAMPLES", "25"))
MAX_LOSSES = 3
HOLDS: Bundle[Hold] = Bundle("holds")
WORKERS = st.sampled_from(["w1", "w2", "w3"])
OUTCOMES = st.sampled_from(
    [
        wire.Outcome(wire.COMPLETED, result=1),
        wire.Outcome(wire.FAILED, error=wire.ErrorInfo("cell", "ValueError", "no")),
        wire.Outcome(wire.CANCELLED),
    ]
)


class Store(GatewaySteps):
    """Rules do what gateways, workers and the reconciler do."""

    # What workers do

    @rule(target=HOLDS, task_id=SUBMITTED, worker=WORKERS)
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

    @rule(hold=HOLDS, outcome=OUTCOMES, settles=st.booleans())
    def finish(self, hold: Hold, outcome: wire.Outcome, settles: bool) -> None:
        """A worker that dies after the final state settles nothing."""
        row = self.model.held(hold)
        done = self.do(tasks.finish(self.db, hold.task_id, hold.attempt, outcome))
        assert done == (tasks.Finished(row.awaited) if row else None)
        if row:
            row.end(outcome)
            if settles:
                self.settle(hold.task_id, row.state == wire.COMPLETED)

    @rule(task_id=SUBMITTED)
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

    @rule(hold=HOLDS)
    def went_out(self, hold: Hold) -> None:
        row = self.model.held(hold)
        assert self.do(tasks.mark_network_used(self.db, hold.task_id, hold.attempt)) == (
            row is not None
        )
        if row:
            row.went_out = True

    @rule(hold=HOLDS)
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

    @rule(target=HOLDS, hold=HOLDS, worker=WORKERS)
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
        return set(map(tuple, self.do(self.sql(sa.select(tables.task_inputs)))))

    # What must always be true

    @invariant()
    def same(self) -> None:
        assert self.edges() == {
            (id, parent) for id, row in self.model.rows.items() for parent in row.parents
        }
        columns = ("owner", "state", "attempt", "losses", "cancel_requested", "went_out", "outcome")
        found = self.do(self.sql(sa.select(tables.tasks)))
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

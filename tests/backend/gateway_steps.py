"""Steps of gateways on the store, each held to the model of tasks."""

from __future__ import annotations

import asyncio
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from mecapy_backend.store import database, tasks
from mecapy_backend.store.tasks import cancelling, submission
from mecapy_jupyter import wire

from .task_model import Model, Row

OWNERS = ("ann", "bob")
MAX_QUEUED = 4
SUBMITTED: Bundle[str] = Bundle("submitted")


class GatewaySteps(RuleBasedStateMachine):
    """Rules do what gateways do, on real PostgreSQL."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.db = database.connect(self.url, connect_s=60)
        self.model = Model()

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def empty(self) -> None:
        self.do(self.sql(sa.text("TRUNCATE tasks, task_inputs, sweep_tasks, blobs")))

    async def sql(self, statement: Any) -> Any:
        async with self.db.connect() as connection:
            return await connection.execute(statement)

    def teardown(self) -> None:
        self.do(self.db.dispose())
        self.loop.close()

    @rule(
        target=SUBMITTED,
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
        target=SUBMITTED,
        owner=st.sampled_from(OWNERS),
        parents=st.lists(SUBMITTED, min_size=1, max_size=3, unique=True),
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

    @rule(task_id=SUBMITTED, owner=st.sampled_from(OWNERS))
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

    @rule(task_id=SUBMITTED, owner=st.sampled_from(OWNERS))
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

    @rule(task_id=SUBMITTED, owner=st.sampled_from(OWNERS))
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

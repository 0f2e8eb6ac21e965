"""Tasks that need results of others, on real PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.store import tasks
from mecapy_backend.store.tasks import graph, retention
from mecapy_jupyter import wire

DONE = wire.Outcome(wire.COMPLETED, result=1)
BROKEN = wire.Outcome(
    wire.FAILED, error=wire.ErrorInfo("cell", "ZeroDivisionError", "division by zero")
)


async def add(db: Any, *parents: str, owner: str = "ann", name: str = "", **more: Any) -> str:
    needs = {f"v{at}": str(wire.Need(parent)) for at, parent in enumerate(parents)}
    request = wire.TaskRequest("1", name=name, needs=needs, **more)
    return (await tasks.submit(db, owner, request.as_json())).task_id


async def end(db: Any, task_id: str, outcome: wire.Outcome = DONE) -> graph.Settled:
    """Run it, and settle what follows."""
    started = await tasks.start(db, task_id, "w", 10)
    assert started
    done = await tasks.finish(db, task_id, started.attempt, outcome)
    return await graph.settle(db, [task_id]) if done and done.awaited else graph.Settled()


async def states(db: Any, *task_ids: str, owner: str = "ann") -> list[str]:
    rows = [await tasks.get(db, owner, task_id) for task_id in task_ids]
    return [row.state if row else "gone" for row in rows]


async def error(db: Any, task_id: str) -> wire.ErrorInfo:
    row = await tasks.get(db, "ann", task_id)
    assert row and row.outcome
    found = wire.Outcome.from_json(row.outcome).error
    assert found
    return found


async def test_a_child_waits_for_all_its_parents(db: Any) -> None:
    """Blocked until the last parent is completed, then queued; a blocked one cannot start."""
    one, two = await add(db), await add(db)
    child = await add(db, one, two)
    assert await states(db, child) == ["blocked"]
    assert await tasks.start(db, child, "w", 10) is None
    assert (await end(db, one)).released == []
    assert [task.id for task in (await end(db, two)).released] == [child]
    assert await states(db, child) == ["queued"]
    row = await tasks.get(db, "ann", child)
    assert row and sorted(row.parents) == sorted([one, two])


async def test_parents_that_are_done_block_nobody(db: Any) -> None:
    """With all parents completed before it, a task is queued at once."""
    parent = await add(db)
    await end(db, parent)
    assert await states(db, await add(db, parent)) == ["queued"]


async def test_a_failed_parent_fails_all_below(db: Any) -> None:
    """With the parent's own error and its name, through any number of tasks; others go on."""
    mesh, other = await add(db, name="mesh"), await add(db)
    solve = await add(db, mesh, other, name="solve")
    post, aside = await add(db, solve), await add(db, other)
    settled = await end(db, mesh, BROKEN)
    assert {task_id for task_id, _ in settled.failed} == {solve, post}
    for task_id in (solve, post):
        assert await error(db, task_id) == wire.ErrorInfo(
            "parent",
            "ZeroDivisionError",
            f"the task 'mesh' ({mesh[:8]}), whose result this one needs, failed: "
            f"ZeroDivisionError: division by zero; correct it, then submit both again",
        )
    assert await states(db, aside) == ["blocked"]
    await end(db, other)
    assert await states(db, aside, solve) == ["queued", "failed"]


async def test_a_child_of_what_failed_before_fails_too(db: Any) -> None:
    """Whoever submits it learns which parents have ended already, and settles them."""
    parent = await add(db)
    await end(db, parent, BROKEN)
    needs = {"x": str(wire.Need(parent))}
    done = await tasks.submit(db, "ann", wire.TaskRequest("1", needs=needs).as_json())
    assert (done.state, done.ended) == ("blocked", (parent,))
    await graph.settle(db, done.ended)
    assert await states(db, done.task_id) == ["failed"]


async def test_cancelled_alone_or_with_all_below(db: Any) -> None:
    """A child of a cancelled task fails, naming it; with `cancel_below` it is cancelled."""
    one, two = await add(db, name="one"), await add(db)
    child, below = await add(db, one), await add(db, two)
    last = await add(db, below)
    answer = await tasks.cancel(db, "ann", one)
    assert answer == tasks.Cancellation("cancelled", True, True)
    await graph.settle(db, [one])
    assert await states(db, child) == ["failed"]
    assert (await error(db, child)).message.startswith(f"the task 'one' ({one[:8]}), whose")
    stopped = await tasks.cancel_below(db, "ann", two)
    assert {task.id for task in stopped} == {below, last}
    assert await states(db, two, below, last) == ["queued", "cancelled", "cancelled"]
    assert await tasks.cancel_below(db, "bob", two) == []


async def test_only_tasks_of_the_same_owner(db: Any) -> None:
    """Another owner's task is as one that does not exist, at submission and when it is read."""
    theirs = await add(db, owner="bob")
    with pytest.raises(tasks.NoSuchParents) as refused:
        await add(db, theirs)
    assert refused.value.task_ids == [theirs]
    assert await graph.results(db, "ann", [theirs]) == {}
    assert (await graph.results(db, "bob", [theirs])).keys() == {theirs}


async def test_a_parent_stays_while_it_is_needed(db: Any) -> None:
    """It can neither be deleted nor expire before its children have ended."""
    parent = await add(db)
    await end(db, parent)
    child = await add(db, parent)
    with pytest.raises(tasks.Needed) as refused:
        await tasks.forget(db, "ann", parent)
    assert refused.value.children == [child]
    assert await retention.forget_old(db, -1.0) == []
    await end(db, child)
    assert await tasks.forget(db, "ann", parent) == []
    assert await states(db, parent, child) == ["gone", "completed"]


async def test_pickles_of_one_python(db: Any) -> None:
    """A task takes the Python of what it opens; two versions do not meet in one task."""
    old, new = await add(db, python="3.11"), await add(db, python="3.12")
    child = await tasks.get(db, "ann", await add(db, old))
    assert child and child.python == "3.11"
    for parents, python in (((old, new), ""), ((old,), "3.12")):
        with pytest.raises(tasks.OtherPythons) as refused:
            await add(db, *parents, python=python)
        assert refused.value.pythons == ["3.11", "3.12"]


async def test_an_end_that_nobody_settled(db: Any) -> None:
    """What a crash after the final state left is found, and only that."""
    one, two, three = await add(db), await add(db), await add(db)
    for parents in ((one,), (one, two), (three,)):
        await add(db, *parents)
    for task_id, outcome in ((one, DONE), (three, BROKEN)):
        started = await tasks.start(db, task_id, "w", 10)
        assert started and await tasks.finish(db, task_id, 1, outcome)
    assert sorted(await graph.unsettled(db)) == sorted([one, three])
    settled = await graph.settle(db, [one, three])
    assert (len(settled.released), len(settled.failed)) == (1, 1)
    assert await graph.unsettled(db) == []


async def test_blocked_tasks_count_for_the_queue(db: Any) -> None:
    """An owner's limit of waiting tasks holds for both kinds; only the queued have a place."""
    parent = await add(db)
    child = await add(db, parent)
    body = wire.TaskRequest("1").as_json()
    with pytest.raises(tasks.TooManyQueued):
        await tasks.submit(db, "ann", body, max_queued=2)
    assert (await tasks.submit(db, "ann", body, max_queued=3)).created
    assert child not in {task.id for task in await tasks.queued_tasks(db)}


async def test_no_child_is_forgotten(db: Any) -> None:
    """A parent that ends while children are added settles each of them, or they start queued."""

    async def run(parent: str) -> None:
        await asyncio.sleep(0.01)
        await end(db, parent)

    for _ in range(10):
        parent = await add(db)
        *children, _ = await asyncio.gather(*(add(db, parent) for _ in range(6)), run(parent))
        assert await states(db, *children) == ["queued"] * 6


async def test_the_same_request_again(db: Any) -> None:
    """With its key, a blocked task answers as itself, also when its parent is gone."""
    parent = await add(db)
    body = wire.TaskRequest("1", needs={"x": str(wire.Need(parent))}).as_json()
    first = await tasks.submit(db, "ann", body, idempotency_key="k")
    again = await tasks.submit(db, "ann", body, idempotency_key="k")
    assert (again.task_id, again.created, again.state) == (first.task_id, False, "blocked")
    async with db.connect() as connection:
        await connection.execute(sa.text("DELETE FROM tasks WHERE id = :id"), {"id": parent})
    again = await tasks.submit(db, "ann", body, idempotency_key="k")
    assert (again.task_id, again.created) == (first.task_id, False)
    await graph.release_orphans(db)
    assert await states(db, first.task_id) == ["queued"]

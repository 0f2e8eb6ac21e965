"""Whose turn it is: fair shares between organisations and users, priorities among a user's own
tasks, caps, lanes; on a real Redis.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mecapy_backend.queue import keys
from mecapy_backend.queue.queue import PoppedTask, Queue, Share, score


async def take(queue: Queue, lane: str = keys.QUEUE) -> str | None:
    """What a worker does: pop, and ask for the next where there is one."""
    popped: Any = await queue.zpopmin(lane)
    if not popped:
        return None
    taken = PoppedTask.of((lane.encode(), *popped[0]))
    if taken.more:
        await queue.refill(lane)
    return taken.task_id


async def drained(queue: Queue, lane: str = keys.QUEUE) -> list[str]:
    found = list[str]()
    while (task := await take(queue, lane)) is not None:
        found.append(task)
    return found


async def flood(
    queue: Queue, owner: str, count: int, share: Share | None = None, first: int = 0
) -> None:
    await queue.put_back(
        owner, {f"{owner}{n}": score(5, n) for n in range(first, first + count)}, share=share
    )


async def test_a_flood_delays_nobody(queue: Queue) -> None:
    """Another's first task is next but for the one at the front already, however many one user has
    queued; then they take turns.
    """
    await flood(queue, "ann", 10_000)
    assert await take(queue) == "ann0"
    await flood(queue, "bob", 4)
    assert await queue.position("bob0") == 2
    assert [await take(queue) for _ in range(8)] == [
        "ann1",
        "bob0",
        "ann2",
        "bob1",
        "ann3",
        "bob2",
        "ann4",
        "bob3",
    ]
    assert (await queue.depth(), await queue.position_and_depth("ann9")) == (9995, (5, 9995))


async def test_a_position_behind_many_users(queue: Queue) -> None:
    """Exact for the next task of a user, an estimate within 2 % for one that is several rounds of
    many users away.
    """
    for number in range(150):
        await flood(queue, f"user{number:03}-", 2 + number % 4)
    await flood(queue, "user070x", 4)
    told = [await queue.position(f"user070x{number}") or 0 for number in range(4)]
    order = await drained(queue)
    comes = [order.index(f"user070x{number}") + 1 for number in range(4)]
    assert told[0] == comes[0] == 72
    assert all(abs(said / true - 1) < 0.02 for said, true in zip(told, comes, strict=True))


async def test_weights(queue: Queue) -> None:
    """A user of weight 3 starts three tasks for each one of the others."""
    await flood(queue, "ann", 100, Share(weight=3))
    await flood(queue, "bob", 100, Share(weight=1))
    started = Counter([str(await take(queue))[:3] for _ in range(40)])
    assert started == {"ann": 30, "bob": 10}


async def test_organisations_first(queue: Queue) -> None:
    """Two organisations share equally, whether one user of theirs waits or nine; a user without one
    is an organisation alone.
    """
    for n in range(9):
        await flood(queue, f"a{n}x", 50, Share("acme"))
    await flood(queue, "bob", 200, Share("bolt"))
    await flood(queue, "cat", 200)
    started = Counter([str(await take(queue))[0] for _ in range(270)])
    assert started == {"a": 90, "b": 90, "c": 90}


async def test_priorities_order_my_own(queue: Queue) -> None:
    """A priority of 9 goes before my other tasks, and before nobody else's."""
    await flood(queue, "ann", 4)
    await flood(queue, "bob", 4)
    await queue.enqueue("urgent", "bob", 9)
    assert await drained(queue) == [
        "ann0",
        "urgent",
        "ann1",
        "bob0",
        "ann2",
        "bob1",
        "ann3",
        "bob2",
        "bob3",
    ]


async def test_a_priority_passes_my_own_at_the_front(queue: Queue) -> None:
    """Also when only one of mine waits, and it is the next already; with a cap as well, which
    counts one of both.
    """
    for cap in (0, 1):
        await queue.enqueue(f"low{cap}", "ann", 5, share=Share(cap=cap))
        assert await queue.enqueue(f"high{cap}", "ann", 9) == 1
        assert await queue.position(f"low{cap}") == 2
        assert await take(queue) == f"high{cap}"
        await queue.release(f"high{cap}")
        assert await take(queue) == f"low{cap}"
        await queue.release(f"low{cap}")


async def test_a_cap_holds(queue: Queue) -> None:
    """Who may run two at once has two, and others go by; when one ends,
    the next is there at once.
    """
    await flood(queue, "ann", 5, Share(cap=2))
    await flood(queue, "bob", 1)
    assert [await take(queue) for _ in range(4)] == ["ann0", "bob0", "ann1", None]
    await queue.release("ann0")
    assert await take(queue) == "ann2"
    assert await queue.counted_running() == {"ann1", "ann2"}


async def test_a_cap_of_an_organisation_holds(queue: Queue) -> None:
    """All its users together."""
    for name in ("ann", "amy"):
        await flood(queue, name, 5, Share("acme", group_cap=3))
    await flood(queue, "bob", 2)
    assert Counter([str(await take(queue))[0] for _ in range(6)]) == {"a": 3, "b": 2, "N": 1}


async def test_many_at_their_caps_hide_nobody(queue: Queue) -> None:
    """However many wait at a cap, who may have one more is found behind them."""
    for number in range(200):
        await flood(queue, f"user-{number:03}-", 2, Share(cap=1))
    started = [await take(queue) for _ in range(200)]
    assert None not in started and await take(queue) is None
    await flood(queue, "zoe", 3)
    assert await drained(queue) == ["zoe0", "zoe1", "zoe2"]


async def test_a_share_that_changed_holds_for_those_who_wait(queue: Queue) -> None:
    """A cap that is raised lets the next start at once, one that is lowered holds from the next
    start on; a weight is in positions, too.
    """
    await flood(queue, "ann", 9, Share(cap=1))
    await flood(queue, "bob", 9)
    assert [await take(queue) for _ in range(3)] == ["ann0", "bob0", "bob1"]
    await queue.update_shares({"ann": Share(cap=2)})
    assert "ann1" in [await take(queue) for _ in range(2)]
    await queue.update_shares({"ann": Share(cap=1), "bob": Share(weight=3.0)})
    await queue.release("ann0")
    assert not {str(task)[:3] for task in await drained(queue)} & {"ann"}
    await queue.release("ann1")
    assert await take(queue) == "ann2"


async def test_waiting_at_a_cap_saves_nothing_up(queue: Queue) -> None:
    """Who could not start for a while has no claim to what others had meanwhile; and a newcomer
    neither.
    """
    await flood(queue, "ann", 50, Share(cap=1))
    await flood(queue, "bob", 100)
    assert [str(await take(queue))[:3] for _ in range(50)].count("ann") == 1
    await queue.count_running("ann", Share(cap=0), [])
    await queue.release("ann0")
    await flood(queue, "cat", 50)
    started = Counter([str(await take(queue))[:3] for _ in range(30)])
    assert all(9 <= started[name] <= 11 for name in ("ann", "bob", "cat"))


async def test_one_at_a_time_gains_nothing(queue: Queue) -> None:
    """Who submits the next when the last one has started gets no more than who has all of them
    queued.
    """
    await flood(queue, "bob", 100)
    order = list[str]()
    for n in range(20):
        await queue.enqueue(f"ann{n}", "ann")
        while order[-1:] != [f"ann{n}"]:
            order.append(str(await take(queue)))
    assert 19 <= Counter(task[:3] for task in order)["bob"] <= 22


async def test_lanes_are_apart(queue: Queue) -> None:
    """A short task does not wait behind long ones."""
    await flood(queue, "ann", 10)
    assert await queue.enqueue("quick", "ann", short=True) == 1
    assert await queue.position_and_depth("quick", short=True) == (1, 1)
    assert await take(queue, keys.SHORT) == "quick" and await take(queue) == "ann0"


async def test_a_lane_for_each_python(queue: Queue) -> None:
    """Tasks of one Python neither wait behind another's nor count in its positions; a cap holds
    over all of them.
    """
    await flood(queue, "ann", 10)
    assert await queue.enqueue("new", "ann", python="3.13", share=Share(cap=1)) == 1
    assert await queue.enqueue("newer", "ann", python="3.13") == 2
    assert await queue.position_and_depth("newer", python="3.13") == (2, 2)
    assert await queue.depth() == 12 and await queue.fronts() == {"ann0", "new"}
    assert await queue.lanes() == ["mecapy:queue", "mecapy:queue:3.13"]
    assert await take(queue, keys.lane("3.13")) == "new"
    assert await take(queue, keys.lane("3.13")) is None
    await queue.release("new")
    assert await take(queue, keys.lane("3.13")) == "newer"
    assert await queue.withdraw("ann5") and await queue.not_waiting(["ann5", "ann6"]) == {"ann5"}
    await queue.refill_all()
    assert await queue.lanes() == ["mecapy:queue"]


async def test_cancelled_while_it_waited(queue: Queue) -> None:
    """At the front or in line, it goes, once; the front is filled again, and a user who cancels
    everything owes nothing.
    """
    await flood(queue, "ann", 100)
    await flood(queue, "bob", 3)
    assert await queue.withdraw("ann0") and not await queue.withdraw("ann0")
    for n in range(1, 100):
        assert await queue.withdraw(f"ann{n}")
    await queue.enqueue("ann", "ann")
    assert (await drained(queue)) in (
        ["bob0", "ann", "bob1", "bob2"],
        ["ann", "bob0", "bob1", "bob2"],
    )
    assert await queue.depth() == 0


async def test_nothing_is_left(queue: Queue) -> None:
    """Once nobody waits and nothing runs, only the shares are remembered, and who was the last."""
    await flood(queue, "ann", 5, Share("acme", cap=1))
    await flood(queue, "bob", 5)
    while task := await take(queue):
        await queue.release(task)
    assert sorted(key.decode() for key in await queue.keys("mecapy:*")) == [
        "mecapy:queue:first",
        "mecapy:queue:shares",
    ]


async def test_the_same_twice(queue: Queue) -> None:
    """A task that waits stays where it is."""
    await flood(queue, "ann", 3)
    await flood(queue, "ann", 3)
    await queue.enqueue("ann0", "ann", 9)
    assert await drained(queue) == ["ann0", "ann1", "ann2"]


async def test_redis_forgot_the_script(queue: Queue) -> None:
    """An emptied Redis knows no script; it is sent again."""
    await queue.script_flush()
    assert await queue.enqueue("ann0", "ann") == 1
    assert await queue.not_waiting(["ann0", "ann1"]) == {"ann1"}


_SHARES = {
    "ann": Share("acme", 2),
    "amy": Share("acme", 1),
    "bob": Share("bolt", 1, group_weight=2),
    "cat": Share(weight=0.5),
}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(sorted(_SHARES)), st.booleans()), max_size=25))
async def test_positions_come_true(queue: Queue, steps: list[tuple[str, bool]]) -> None:
    """Whatever was queued and taken before: the position each waiting task is told is the one it
    starts at.
    """
    await queue.flushdb()
    waits = list[str]()
    for number, (owner, takes) in enumerate(steps):
        await queue.enqueue(f"{owner}{number}", owner, number % 3, share=_SHARES[owner])
        waits.append(f"{owner}{number}")
        if takes and (task := await take(queue)):
            waits.remove(task)
    told = {task: await queue.position(task) for task in waits}
    order = await drained(queue)
    assert {task: order.index(task) + 1 for task in waits} == told

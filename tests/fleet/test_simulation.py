"""The simulation agrees with theory where there is one, and with the script of the queue."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.policy import POLICY
from mecapy_backend.fleet.simulation.fair_order import FairOrder
from mecapy_backend.fleet.simulation.loads import DAY_S, PATTERNS, Load, Pattern, RunTimes
from mecapy_backend.fleet.simulation.simulate import simulate
from mecapy_backend.queue import keys
from mecapy_backend.queue.queue import PoppedTask, Queue, score

from . import erlang

SMALL = MachineClass("pool", slots=2, price=0.02, provider="local", min=1, max=20, billing="hour")


async def test_the_queue_s_own_order(queue: Queue) -> None:
    """Whatever comes and goes, `FairOrder` gives the tasks in the order that the script does."""
    dice, order, waiting = random.Random(7), FairOrder(), 0
    for number in range(600):
        if waiting and dice.random() < 0.45:
            popped: Any = await queue.zpopmin(keys.QUEUE)
            taken = PoppedTask.of((keys.QUEUE.encode(), *popped[0]))
            if taken.more:
                await queue.refill(keys.QUEUE)
            assert taken.task_id == str(order.take())
            waiting -= 1
        else:
            user = dice.choice(["ann", "bob", "cid", "dan"][: 1 + number // 150])
            await queue.put_back(user, {str(number): score(5, number)})
            order.add(user, number)
            waiting += 1
        assert len(order) == waiting


@pytest.mark.parametrize(("slots", "load"), [(2, 1.2), (8, 5.0)])
def test_agrees_with_erlang(slots: int, load: float) -> None:
    """With a fixed number of slots, random arrivals and exponential times: the share of tasks that
    wait, and their mean wait, within 2 % of theory at the load that was drawn.
    """
    service = RunTimes(30.0, 30.0, overhead_s=0.0)
    fixed = MachineClass("pool", slots=1, provider="local", min=slots, max=slots)
    policy = replace(POLICY, look_s=DAY_S)
    tasks_a_day = load / 30.0 * DAY_S
    span_s = 100_000 / tasks_a_day * DAY_S
    waited = waits_s = theory = theory_s = 0.0
    for seed in range(4):
        asked = Load(tasks_a_day, span_s=span_s, service=service)
        tasks = asked.arrivals(seed)
        drawn_s = sum(one.runs_s for one in tasks)
        found = simulate(asked, fixed, policy, seed)
        waited, waits_s = waited + found.waited, waits_s + found.mean_wait_s
        drawn = slots, drawn_s / span_s
        theory += erlang.waits(*drawn)
        theory_s += erlang.mean_wait_s(*drawn, drawn_s / len(tasks))
    assert waited == pytest.approx(theory, rel=0.02)
    assert waits_s == pytest.approx(theory_s, rel=0.02)


def test_erlang_known_values() -> None:
    """One slot: the probability to wait is the load. Two: ρ² ÷ (1 + ρ) × 2."""
    assert erlang.waits(1, 0.5) == pytest.approx(0.5)
    assert erlang.waits(2, 1.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern(pattern: Pattern) -> None:
    """The number of tasks is right, every task starts, and the fleet neither stays small nor
    explodes.
    """
    load = Load(20_000, pattern)
    assert len(load.arrivals(3)) == pytest.approx(20_000, rel=0.05)
    found = simulate(load, SMALL, seed=3)
    needed = 20_000 / DAY_S * load.service.expected_s / SMALL.slots
    assert needed < found.mean_machines < 4 * needed + 4
    assert found.most_machines <= SMALL.max
    assert found.euros >= found.hours * SMALL.price * 30 - 1e-6


def test_a_flood_delays_nobody_else() -> None:
    """Half of the day's tasks at once by one user: the others' p99 stays below a minute."""
    flooded = simulate(Load(20_000, "flooder"), SMALL)
    assert flooded.percentile(0.99) < 60.0


def test_votes_keep_machines_longer() -> None:
    """What a constant does: with one vote machines come and go more often than with twenty."""
    by_second = replace(SMALL, billing="second")
    load = Load(10_000, "bursts", DAY_S / 2)
    hasty = simulate(load, by_second, replace(POLICY, votes=1))
    patient = simulate(load, by_second, replace(POLICY, votes=40))
    assert hasty.started > patient.started
    assert hasty.hours < patient.hours

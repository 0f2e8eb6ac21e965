"""`desired`: how many machines there should be, for any view; and that it comes to rest."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mecapy_backend.fleet.desired import Decision, Machine, View, desired
from mecapy_backend.fleet.policy import ONE_MACHINE, Policy
from mecapy_jupyter.wire import BOOTING, DRAINING, SERVING, STOPPING

POLICY = Policy()
# A busy machine is slow, and no test fails for it.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def views(draw: st.DrawFn) -> View:
    least = draw(st.integers(0, 4))
    slots = draw(st.integers(1, 4))
    states = st.sampled_from([BOOTING, SERVING, SERVING, DRAINING, STOPPING])
    machines = [
        Machine(
            f"m{number}",
            state,
            0 if state == BOOTING else draw(st.integers(0, slots)),
            draw(st.sampled_from([0.0, 100.0, 2000.0])),
        )
        for number, state in enumerate(draw(st.lists(states, max_size=8)))
    ]
    queued = draw(st.integers(0, 50))
    return View(
        min=least,
        max=least + draw(st.integers(0, 8)),
        slots=slots,
        machines=machines,
        queued=queued,
        queued_s=draw(st.floats(0, 5000)) if queued else 0.0,
        oldest_wait_s=draw(st.floats(0, 500)) if queued else 0.0,
        votes=draw(st.integers(0, 20)),
        allowed=draw(st.none() | st.integers(0, 5)),
    )


def after(view: View, decision: Decision) -> list[Machine]:
    """The machines once the decision is carried out, the new ones still booting."""
    found = list[Machine]()
    for one in view.machines:
        state = one.state
        if one.id in decision.keep:
            state = SERVING
        elif one.id in decision.drain:
            state = DRAINING
        elif one.id in decision.stop:
            continue
        found.append(replace(one, state=state))
    return [*found, *(Machine(f"new{n}", BOOTING) for n in range(decision.start))]


@given(views())
@settings(PATIENT)
def test_bounds(view: View) -> None:
    """Never more machines than `max` by what it starts, never fewer serving than `min` by what it
    drains, never more than a budget allows.
    """
    decision = desired(view, POLICY)
    there = after(view, decision)
    assert view.min <= decision.wanted <= view.max
    assert not decision.start or len(there) <= view.max
    serving = sum(one.state in (BOOTING, SERVING) for one in there)
    assert not decision.drain or serving >= view.min
    assert view.allowed is None or decision.start <= view.allowed


@given(views())
@settings(PATIENT)
def test_who_leaves(view: View) -> None:
    """Only idle machines are chosen to leave, only drained ones are stopped, neither before its
    paid time ends, and only after enough votes in a row.
    """
    decision = desired(view, POLICY)
    of = {one.id: one for one in view.machines}
    for each in decision.drain:
        assert of[each].state == SERVING
        assert view.votes + 1 >= POLICY.votes
    for each in decision.stop:
        assert of[each].state == DRAINING
    for each in (*decision.drain, *decision.stop):
        assert not of[each].running
        assert of[each].paid_s <= POLICY.paid_margin_s
    assert not set(decision.stop) & set(decision.keep)


@given(views())
@settings(PATIENT)
def test_taken_back_before_bought(view: View) -> None:
    """While a machine drains, none is started that it could replace; a decision never goes both
    ways.
    """
    decision = desired(view, POLICY)
    draining = sum(one.state == DRAINING for one in view.machines)
    if decision.start:
        assert len(decision.keep) == draining
    assert not ((decision.start or decision.keep) and decision.drain)


def looks(view: View, loads: Iterable[int]) -> Iterator[Decision]:
    """What a scaler decides at each look, while so many tasks run or wait. Nothing is paid for
    beforehand, and a machine serves at the look after its start.
    """
    machines = [replace(one, paid_s=0.0) for one in view.machines if one.state != STOPPING]
    votes, born = 0, itertools.count()
    for load in loads:
        there = list[Machine]()
        for one in machines:
            running = 0 if one.state == BOOTING else min(view.slots, load)
            load -= running
            there.append(replace(one, running=running))
        now = View(
            view.min,
            view.max,
            view.slots,
            there,
            queued=load,
            queued_s=60.0 * load,
            oldest_wait_s=60.0 if load else 0.0,
            votes=votes,
        )
        decision = desired(now, POLICY)
        votes = decision.votes
        yield decision
        machines = [
            replace(one, id=f"b{next(born)}", state=SERVING) if one.state == BOOTING else one
            for one in after(now, decision)
        ]


@given(views(), st.integers(0, 30))
@settings(PATIENT, max_examples=30)
def test_comes_to_rest(view: View, load: int) -> None:
    """Under a constant load it changes nothing any more after a bounded number of looks."""
    for look, one in enumerate(looks(view, [load] * 250)):
        assert look < 200 or not (one.start or one.drain or one.keep or one.stop)


@given(views(), st.lists(st.integers(0, 30), min_size=100, max_size=100))
@settings(PATIENT, max_examples=30)
def test_bounded_oscillation(view: View, loads: list[int]) -> None:
    """Under any load, machines go at the earliest so many looks after others came as the policy has
    votes: it turns at most once in that time.
    """
    grew = drained = -POLICY.votes
    for look, one in enumerate(looks(view, loads)):
        if one.start or one.keep:
            grew = look
        if one.drain:
            assert look - grew >= POLICY.votes and look - drained >= POLICY.votes
            drained = look


def test_queued_work_counts_in_seconds() -> None:
    """A hundred short tasks need one more machine, ten long ones ten; one look's queue none."""
    busy = [Machine("a", SERVING, 1)]
    short = View(0, 50, machines=busy, queued=100, queued_s=50.0, oldest_wait_s=2.0)
    assert desired(short, POLICY).start == 1
    long = View(0, 50, machines=busy, queued=10, queued_s=6000.0, oldest_wait_s=2.0)
    assert desired(long, POLICY).start == 10
    little = View(1, 50, machines=busy, queued=3, queued_s=3.0, oldest_wait_s=1.0)
    assert desired(replace(little, machines=[*busy, Machine("b", SERVING)]), POLICY).start == 0


def test_scale_to_zero() -> None:
    """A class on demand starts one machine for its first task, and none is left afterwards."""
    first = View(0, 3, queued=1, queued_s=1.0, oldest_wait_s=0.0)
    assert desired(first, POLICY).start == 1
    idle = View(0, 3, machines=[Machine("a", SERVING)], votes=POLICY.votes - 1)
    assert desired(idle, POLICY).drain == ("a",)
    drained = View(0, 3, machines=[Machine("a", DRAINING)])
    assert desired(drained, POLICY).stop == ("a",)


def test_paid_hour() -> None:
    """A machine stays while its hour is paid for, and goes shortly before the next begins."""
    votes = POLICY.votes - 1
    paid = View(0, 3, machines=[Machine("a", SERVING, 0, 1800.0)], votes=votes)
    assert desired(paid, POLICY).drain == ()
    ending = View(0, 3, machines=[Machine("a", SERVING, 0, 120.0)], votes=votes)
    assert desired(ending, POLICY).drain == ("a",)


def test_workers_of_others_count() -> None:
    """What somebody else started serves as well, and is neither replaced nor drained."""
    idle = View(0, 3, queued=1, queued_s=1.0, oldest_wait_s=0.0, fixed_slots=1)
    assert desired(idle, POLICY).start == 0
    busy = replace(idle, fixed_running=1, oldest_wait_s=100.0)
    assert desired(busy, ONE_MACHINE).start == 1
    assert desired(replace(busy, queued=5, queued_s=50.0), ONE_MACHINE).start == 3
    nothing = View(0, 3, machines=[Machine("a", SERVING)], fixed_slots=1, votes=POLICY.votes)
    assert desired(nothing, POLICY).drain == ("a",)


def test_short_tasks_that_always_wait() -> None:
    """A map of short calls keeps little work in the queue, but always some: an embedded stack grows
    by half at each third look, and a rented fleet does not.
    """
    calls = View(0, 7, queued=1, queued_s=0.3, oldest_wait_s=0.3, fixed_slots=1, fixed_running=1)
    looks, started = calls, list[int]()
    for _ in range(3):
        decision = desired(looks, ONE_MACHINE)
        started.append(decision.start)
        looks = replace(looks, pressed=decision.pressed)
    assert started == [0, 0, 1]
    four = replace(looks, fixed_slots=4, fixed_running=4)
    assert desired(four, ONE_MACHINE).start == 2
    assert desired(replace(looks, queued=0), ONE_MACHINE).pressed == 0
    assert desired(replace(looks, pressed=100), replace(POLICY, headroom=0.0)).start == 0

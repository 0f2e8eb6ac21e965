"""How many machines of one class there should be: the pure function that the scaler, its tests and
the simulation share. Knows no clock, no database and no provider.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mecapy_backend.fleet.policy import Policy
from mecapy_jupyter.wire import BOOTING, DRAINING, SERVING, MachineState


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine as the scaler sees it. `running`: tasks on it. `paid_s`: how long it is paid for
    from now on, 0: by the second.
    """

    id: str
    state: MachineState
    running: int = 0
    paid_s: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """One class at one moment. `queued_s`: the work that waits, in seconds of one slot. `votes`:
    looks in a row that found too many machines, as the last decision left it. `allowed`: how many
    more a budget or a quota lets start. `fixed_slots`, `fixed_running`: of workers that somebody
    else started and stops. `pressed`: looks in a row at which tasks waited, as the last decision
    left it.
    """

    min: int
    max: int
    slots: int = 1
    machines: Sequence[Machine] = ()
    queued: int = 0
    queued_s: float = 0.0
    oldest_wait_s: float = 0.0
    votes: int = 0
    allowed: int | None = None
    fixed_slots: int = 0
    fixed_running: int = 0
    pressed: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """`start`: so many new ones. `keep`: draining ones that serve again. `drain`: these take no
    more tasks. `stop`: drained, destroy them. `wanted`: how many should serve.
    """

    wanted: int
    start: int = 0
    keep: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    votes: int = 0
    pressed: int = 0


def desired(view: View, policy: Policy) -> Decision:
    """Up at once, by work; down slowly, only what is idle, and not before its paid time ends."""
    pressed = view.pressed + 1 if view.queued else 0
    return replace(_decided(replace(view, pressed=pressed), policy), pressed=pressed)


def _decided(view: View, policy: Policy) -> Decision:
    serving = [one for one in view.machines if one.state in (BOOTING, SERVING)]
    draining = [one for one in view.machines if one.state == DRAINING]
    wanted = max(view.min, min(view.max, _needed(view, serving, policy)))
    drained = tuple(one.id for one in draining if not one.running and _paid_up(one, policy))
    if wanted > len(serving):
        missing = wanted - len(serving)
        # Before another is bought, and a busy one first: it needs no time to end its task.
        keep = sorted(draining, key=lambda one: -one.running)[:missing]
        kept = tuple(one.id for one in keep)
        room = max(0, view.max - len(view.machines))
        start = min(missing - len(keep), room)
        if view.allowed is not None:
            start = min(start, max(0, view.allowed))
        return Decision(wanted, start, kept, (), tuple(i for i in drained if i not in kept))
    if wanted == len(serving):
        return Decision(wanted, stop=drained)
    votes = view.votes + 1
    if votes < policy.votes:
        return Decision(wanted, stop=drained, votes=votes)
    too_many = len(serving) - wanted
    idle = [one for one in serving if one.state == SERVING and not one.running]
    idle = [one for one in idle if _paid_up(one, policy)]
    leaving = sorted(idle, key=lambda one: one.paid_s)[: max(1, int(too_many * policy.leave))]
    # Votes start again once some leave: the next ones have to be as certain.
    return Decision(
        wanted,
        drain=tuple(one.id for one in leaving),
        stop=drained,
        votes=0 if leaving else votes,
    )


def _needed(view: View, serving: Sequence[Machine], policy: Policy) -> int:
    """Machines for what runs, with headroom, and for what waits. What boots is among `serving`, so
    it is never asked for twice.
    """
    busy = sum(one.running for one in serving) + view.fixed_running
    for_queue = min(float(view.queued), view.queued_s / policy.target_wait_s)
    extra = math.floor(for_queue)
    none = not serving and not view.fixed_slots
    if view.queued and (view.oldest_wait_s > policy.target_wait_s or none):
        extra = max(extra, 1)
    if policy.pressed and view.pressed >= policy.pressed:
        extra = max(extra, 1, busy // 2)
    slots = max(busy * (1 + policy.headroom), busy + extra) - view.fixed_slots
    return math.ceil(slots / view.slots - 1e-9)


def _paid_up(machine: Machine, policy: Policy) -> bool:
    return machine.paid_s <= policy.paid_margin_s

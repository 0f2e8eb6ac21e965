"""One load on one class of machines, event by event, scaled by the production `desired`. The next
task is the queue's own choice; machines boot, serve, drain and are paid for.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.desired import Machine, View
from mecapy_backend.fleet.desired import desired as production_desired
from mecapy_backend.fleet.policy import POLICY, Policy
from mecapy_backend.fleet.simulation.fair_order import FairOrder
from mecapy_backend.fleet.simulation.loads import DAY_S, FLOODER, Arrival, Load
from mecapy_jupyter.wire import BOOTING, DRAINING, SERVING, MachineState

_END, _BOOTED, _LOOK = 0, 1, 2
HOUR_S: Final = 3600.0
MONTH_S: Final = 30 * DAY_S


@dataclass(slots=True)
class _Simulated:
    """A machine of the simulation."""

    number: int
    state: MachineState
    began_s: float
    running: int = 0


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """`waits_s`: sorted, of everybody but the flooder. `hours`: of machines. `euros` a month."""

    waits_s: Sequence[float] = field(repr=False)
    waited: float  # the share of tasks that waited at all
    hours: float
    euros: float
    mean_machines: float
    most_machines: int
    started: int

    def percentile(self, share: float) -> float:
        if not self.waits_s:
            return 0.0
        return self.waits_s[min(len(self.waits_s) - 1, int(share * len(self.waits_s)))]

    @property
    def mean_wait_s(self) -> float:
        return math.fsum(self.waits_s) / max(1, len(self.waits_s))


def simulate(
    load: Load, machines: MachineClass, policy: Policy = POLICY, seed: int = 1
) -> SimulationResult:
    """Begins with the machines that the load needs at its beginning."""
    return _Simulation(load, machines, policy, seed).run()


class _Simulation:
    def __init__(self, load: Load, machines: MachineClass, policy: Policy, seed: int) -> None:
        self._load, self._class, self._policy = load, machines, policy
        self._arrivals: list[Arrival] = load.arrivals(seed)
        self._queue = FairOrder()
        self._events: list[tuple[float, int, int]] = []
        self._machines: dict[int, _Simulated] = {}
        self._free: deque[int] = deque()
        self._begun = bytearray(len(self._arrivals))
        self._oldest, self._arrived, self._votes = 0, 0, 0
        self._waits: list[float] = []
        self._waited = self._born = self._most = 0
        self._hours = self._paid_hours = 0.0

    def run(self) -> SimulationResult:
        load, end_s = self._load, self._load.span_s
        busy = load.first_rate * load.service.expected_s * (1 + self._policy.headroom)
        first = max(self._class.min, min(self._class.max, math.ceil(busy / self._class.slots)))
        for _ in range(first):
            self._start(0.0, 0.0)
        heapq.heappush(self._events, (self._policy.look_s, _LOOK, 0))
        for number, arrival in enumerate(self._arrivals):
            self._until(arrival.at_s)
            self._arrived = number + 1
            self._queue.add(arrival.user, number)
            self._serve(arrival.at_s)
        self._until(end_s)
        while len(self._queue):  # what waits at the end has waited, too
            self._until(self._events[0][0])
        for machine in self._machines.values():
            self._pay(machine, end_s, ended=False)
        waits, many = sorted(self._waits), max(1, len(self._arrivals))
        a_month = MONTH_S / end_s
        return SimulationResult(
            waits,
            self._waited / many,
            self._hours,
            self._paid_hours * self._class.price * a_month,
            self._hours * HOUR_S / end_s,
            self._most,
            self._born - first,
        )

    def _until(self, now_s: float) -> None:
        while self._events and self._events[0][0] <= now_s:
            at_s, kind, number = heapq.heappop(self._events)
            if kind == _END:
                machine = self._machines[number]
                machine.running -= 1
                if machine.state == SERVING:
                    self._free.append(number)
                    self._serve(at_s)
            elif kind == _BOOTED:
                self._machines[number].state = SERVING
                self._free.extend([number] * self._class.slots)
                self._serve(at_s)
            else:
                self._look(at_s)
                heapq.heappush(self._events, (at_s + self._policy.look_s, _LOOK, 0))

    def _serve(self, now_s: float) -> None:
        """The worker that has waited longest for a task gets the next one, as in Redis."""
        while self._free and len(self._queue):
            number = self._free.popleft()
            machine = self._machines.get(number)
            if machine is None or machine.state != SERVING:
                continue
            task = self._queue.take()
            assert task is not None
            arrival = self._arrivals[task]
            self._begun[task] = 1
            waited_s = now_s - arrival.at_s
            if arrival.user != FLOODER:
                self._waits.append(waited_s)
            self._waited += waited_s > 1e-9
            machine.running += 1
            heapq.heappush(self._events, (now_s + arrival.runs_s, _END, number))

    def _look(self, now_s: float) -> None:
        decision = production_desired(self._view(now_s), self._policy)
        self._votes = decision.votes
        for each in decision.keep:
            machine = self._machines[int(each)]
            machine.state = SERVING
            self._free.extend([machine.number] * (self._class.slots - machine.running))
        for each in decision.drain:
            self._machines[int(each)].state = DRAINING
        for each in decision.stop:
            self._pay(self._machines.pop(int(each)), now_s)
        for _ in range(decision.start):
            self._start(now_s, self._class.boot_s)
        if decision.drain:
            self._free = deque(
                number for number in self._free if self._machines[number].state == SERVING
            )
        self._serve(now_s)

    def _view(self, now_s: float) -> View:
        while self._oldest < self._arrived and self._begun[self._oldest]:
            self._oldest += 1
        queued = len(self._queue)
        oldest_s = now_s - self._arrivals[self._oldest].at_s if queued else 0.0
        return View(
            self._class.min,
            self._class.max,
            self._class.slots,
            [self._seen(machine, now_s) for machine in self._machines.values()],
            queued,
            queued * self._load.service.expected_s,
            oldest_s,
            self._votes,
        )

    def _seen(self, machine: _Simulated, now_s: float) -> Machine:
        paid_s = 0.0
        if self._class.billing == "hour":
            paid_s = HOUR_S - (now_s - machine.began_s) % HOUR_S
        return Machine(str(machine.number), machine.state, machine.running, paid_s)

    def _start(self, now_s: float, boot_s: float) -> None:
        number = self._born = self._born + 1
        self._machines[number] = _Simulated(number, BOOTING, now_s)
        self._most = max(self._most, len(self._machines))
        heapq.heappush(self._events, (now_s + boot_s, _BOOTED, number))

    def _pay(self, machine: _Simulated, now_s: float, *, ended: bool = True) -> None:
        """One that has not ended still uses the hour that is paid."""
        hours = max(0.0, now_s - machine.began_s) / HOUR_S
        self._hours += hours
        whole = ended and self._class.billing == "hour"
        self._paid_hours += math.ceil(hours) if whole else hours

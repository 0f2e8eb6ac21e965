"""Which class of machines a task goes to, and why: a pure function. The same for submissions,
escalation and dry runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mecapy_backend.fleet.classes import MachineClass, named
from mecapy_jupyter.shared.units import cpus, duration, size
from mecapy_jupyter.wire import ANY_GPU, POOL, Resources

LONG_S = 600.0
"""A task that is expected to run longer gets a machine of its own, where there is one."""


class NoSuchMachine(Exception):
    """No class offers what was asked. The text says what there is."""


@dataclass(frozen=True, slots=True)
class TaskEstimate:
    """What a task takes, from its code's history. None: not known."""

    runs_s: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """`why` is one line for people; "" where nothing has to be said."""

    machine_class: str
    why: str = ""


NOTHING_KNOWN = TaskEstimate()


def place(
    asked: Resources, classes: Sequence[MachineClass], estimate: TaskEstimate = NOTHING_KNOWN
) -> Placement:
    """Raises NoSuchMachine. A timeout alone never leads away from the pool."""
    words = described(asked)
    if asked.machine:
        return placed(_by_name(asked, classes), f"{words} asked")
    if asked.cpus or asked.memory_bytes or asked.gpu:
        fitting = [one for one in classes if fits(one, asked)]
        if not fitting:
            raise NoSuchMachine(f"no class of machines offers {words}; {offered(classes)}")
        return placed(_cheapest(fitting), f"{words} asked")
    pool = named(classes, POOL)
    larger = [one for one in classes if one.name != POOL and one.provider and not one.gpu]
    needed = estimate.memory_bytes or 0
    if pool and pool.memory_bytes and needed > pool.memory_bytes:
        enough = [one for one in larger if one.memory_bytes >= needed]
        if enough:
            return placed(_cheapest(enough), f"about {size(needed)} needed")
    if estimate.runs_s is not None and estimate.runs_s > LONG_S:
        enough = [one for one in larger if one.on_demand and one.memory_bytes >= needed]
        if enough:
            return placed(_cheapest(enough), f"about {duration(estimate.runs_s)} expected")
    return Placement(POOL)


def next_larger(
    current: str, least_bytes: int, classes: Sequence[MachineClass]
) -> MachineClass | None:
    """The cheapest class with at least so much memory for a task, and more than the current one."""
    now = named(classes, current)
    least = max(least_bytes, now.memory_bytes + 1 if now else 0)
    enough = [one for one in classes if one.memory_bytes >= least and one.provider]
    return _cheapest(enough) if enough else None


def next_faster(current: str, classes: Sequence[MachineClass]) -> MachineClass | None:
    """The cheapest class with more processors for a task, and no less memory."""
    now = named(classes, current) or MachineClass(current)
    enough = [
        one
        for one in classes
        if one.cpus > now.cpus and one.memory_bytes >= now.memory_bytes and one.provider
    ]
    return _cheapest(enough) if enough else None


def fits(machine: MachineClass, asked: Resources) -> bool:
    """Whether a task on it may use that much. What a class does not say, it does not offer."""
    gpu = not asked.gpu or bool(
        machine.gpu and (asked.gpu == ANY_GPU or asked.gpu.lower() == machine.gpu.lower())
    )
    return gpu and machine.cpus >= asked.cpus and machine.memory_bytes >= asked.memory_bytes


def described(asked: Resources) -> str:
    """`16 GB and 4 CPUs`."""
    words = [size(asked.memory_bytes)] if asked.memory_bytes else []
    words += [cpus(asked.cpus)] if asked.cpus else []
    if asked.gpu:
        words.append("a GPU" if asked.gpu == ANY_GPU else f"a GPU {asked.gpu}")
    return " and ".join(words) or asked.machine


def offered(classes: Sequence[MachineClass]) -> str:
    """`there is pool (2 CPUs, 4 GB) and large (8 CPUs, 16 GB, €0.04/h)`."""
    return "there is " + " and ".join(_described(one) for one in classes)


def _described(machine: MachineClass) -> str:
    known = [cpus(machine.cpus)] if machine.cpus else []
    known += [size(machine.memory_bytes)] if machine.memory_bytes else []
    known += [f"GPU {machine.gpu}"] if machine.gpu else []
    known += [f"€{machine.price:g}/h"] if machine.price else []
    return f"{machine.name} ({', '.join(known) or 'sizes not said'})"


def _by_name(asked: Resources, classes: Sequence[MachineClass]) -> MachineClass:
    found = named(classes, asked.machine)
    if found is None:
        raise NoSuchMachine(f"there is no class of machines {asked.machine!r}; {offered(classes)}")
    if not fits(found, asked):
        raise NoSuchMachine(
            f"{asked.machine} does not offer {described(asked)}; {offered(classes)}"
        )
    return found


def _cheapest(classes: Sequence[MachineClass]) -> MachineClass:
    """The pool before all others, because nothing has to be started for it."""
    return min(classes, key=lambda one: (one.name != POOL, one.price, one.memory_bytes, one.cpus))


def placed(machine: MachineClass, because: str) -> Placement:
    """`16 GB asked → large (on demand, up in ~60 s, €0.04/h)`."""
    about = [f"on demand, up in ~{machine.boot_s:.0f} s"] if machine.on_demand else []
    about += [f"€{machine.price:g}/h"] if machine.price else []
    more = f" ({', '.join(about)})" if about else ""
    return Placement(machine.name, f"{because} → {machine.name}{more}")

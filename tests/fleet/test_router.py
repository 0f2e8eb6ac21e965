"""Which class of machines a task goes to, and what it is told."""

from __future__ import annotations

import pytest

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.router import NoSuchMachine, TaskEstimate, next_larger, place
from mecapy_jupyter.wire import ANY_GPU, Resources

GB = 10**9
POOL = MachineClass("pool", 2, 4 * GB, provider="local", min=1, max=3)
LARGE = MachineClass("large", 8, 16 * GB, price=0.04, provider="local", max=2)
HUGE = MachineClass("huge", 16, 64 * GB, price=0.4, provider="slurm", max=2, boot_s=120)
GPU = MachineClass("l4", 8, 48 * GB, "L4", price=0.79, provider="slurm", max=1)
ALL = (POOL, LARGE, HUGE, GPU)
NOTHING = Resources()


@pytest.mark.parametrize(
    ("asked", "goes", "why"),
    [
        (NOTHING, "pool", ""),
        (Resources(cpus=2), "pool", "2 CPUs asked → pool"),
        (
            Resources(memory_bytes=16 * GB),
            "large",
            "16 GB asked → large (on demand, up in ~60 s, €0.04/h)",
        ),
        (
            Resources(cpus=9, memory_bytes=1 * GB),
            "huge",
            "1 GB and 9 CPUs asked → huge (on demand, up in ~120 s, €0.4/h)",
        ),
        (Resources(gpu=ANY_GPU), "l4", "a GPU asked → l4 (on demand, up in ~60 s, €0.79/h)"),
        (Resources(gpu="l4"), "l4", "a GPU l4 asked → l4 (on demand, up in ~60 s, €0.79/h)"),
        (Resources(machine="huge"), "huge", "huge asked → huge (on demand, up in ~120 s, €0.4/h)"),
    ],
)
def test_what_is_asked(asked: Resources, goes: str, why: str) -> None:
    """The cheapest class that offers it, the pool before all others, and one line that says why."""
    placed = place(asked, ALL)
    assert (placed.machine_class, placed.why) == (goes, why)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            Resources(memory_bytes=256 * GB),
            "no class of machines offers 256 GB; there is pool (2 CPUs, 4 GB) and large",
        ),
        (Resources(gpu="H100"), "no class of machines offers a GPU H100; there is pool"),
        (Resources(machine="lagre"), "there is no class of machines 'lagre'; there is pool"),
        (
            Resources(machine="large", memory_bytes=20 * GB),
            "large does not offer 20 GB; there is pool",
        ),
    ],
)
def test_what_nobody_offers(asked: Resources, says: str) -> None:
    """A sentence that names what there is."""
    with pytest.raises(NoSuchMachine) as refused:
        place(asked, ALL)
    assert str(refused.value).startswith(says)


def test_estimates_lead_to_a_machine_of_its_own() -> None:
    """More than ten minutes expected, or more memory than the pool has; less does not."""
    long = place(NOTHING, ALL, TaskEstimate(720.0))
    assert long.machine_class == "large"
    assert long.why == "about 12 min expected → large (on demand, up in ~60 s, €0.04/h)"
    big = place(NOTHING, ALL, TaskEstimate(5.0, 20 * GB))
    assert (big.machine_class, big.why[:15]) == ("huge", "about 20 GB nee")
    assert place(NOTHING, ALL, TaskEstimate(500.0, 3 * GB)).machine_class == "pool"
    assert place(NOTHING, (POOL,), TaskEstimate(5000.0)).machine_class == "pool"


def test_the_next_larger_class() -> None:
    """After a task ran out of memory: the cheapest class with at least so much, and more than it
    had; None where there is none.
    """
    assert next_larger("pool", 8 * GB, ALL) == LARGE
    assert next_larger("pool", 20 * GB, ALL) == HUGE
    assert next_larger("large", 1 * GB, ALL) == HUGE
    assert next_larger("huge", 1 * GB, ALL) is None

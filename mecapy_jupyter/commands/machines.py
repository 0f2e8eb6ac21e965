"""`%mecapy machines`: what a task may ask for."""

from __future__ import annotations

from mecapy_jupyter.shared.units import clean, cpus, duration, size
from mecapy_jupyter.wire import ClassInfo, MachinesInfo


def listed(found: MachinesInfo) -> str:
    """A line for each class, and one for each machine of the fleet."""
    lines = [_class(one) for one in found.classes]
    for one in found.machines:
        why = f"  ({clean(one.why)})" if one.why else ""
        lines.append(
            f"  {one.id}  {one.machine_class}  {one.state} since {duration(one.age_s)}{why}"
        )
    if found.spent_today:
        lines.append(f"€{found.spent_today:.2f} today")
    return "\n".join(lines)


def _class(one: ClassInfo) -> str:
    sizes = [cpus(one.cpus)] if one.cpus else []
    sizes += [size(one.memory_bytes)] if one.memory_bytes else []
    sizes += [f"GPU {clean(one.gpu, 20)}"] if one.gpu else []
    words = [", ".join(sizes) or "sizes not known", f"{one.free} free"]
    words += [f"{one.queued} waiting"] if one.queued else []
    words += [f"€{one.price:g}/h"] if one.price else []
    words += [f"on demand, up in ~{duration(one.boot_s)}"] if one.on_demand else []
    words += [f"not available: {clean(one.refused)}"] if one.refused else []
    return f"{clean(one.name, 32):<10} {' · '.join(words)}"

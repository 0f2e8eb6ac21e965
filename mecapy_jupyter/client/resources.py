"""What a user asks of a task's machine, as they write it."""

from __future__ import annotations

from mecapy_jupyter.shared.units import byte_count
from mecapy_jupyter.wire import ANY_GPU, Resources


def asked(
    cpus: float = 0, memory: str | int = "", gpu: str | bool = "", machine: str = ""
) -> Resources | None:
    """None: nothing. `memory` as "16GB" or in bytes; `gpu`: a type, or True for any. Raises
    ValueError.
    """
    if not 0 <= cpus <= 10_000:
        raise ValueError(f"{cpus:g} CPUs are not between 0 and 10,000")
    gpu_type = ANY_GPU if gpu is True else gpu or ""
    found = Resources(float(cpus), byte_count(memory) if memory else 0, gpu_type, machine)
    return None if found == Resources() else found

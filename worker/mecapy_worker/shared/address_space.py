"""How much address space a task has: several times its memory, because libraries reserve more than
they use. A task reads its limit of memory from it.
"""

from __future__ import annotations

import resource

_SPARE_BYTES = 4 << 30
_TIMES = 4


def limit_for(memory_bytes: int) -> int:
    return _TIMES * memory_bytes + _SPARE_BYTES


def memory_bytes() -> int:
    """What this task may use; 0: not known."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return 0 if limit == resource.RLIM_INFINITY else max(limit - _SPARE_BYTES, 0) // _TIMES

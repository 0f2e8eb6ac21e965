"""The child of a worker, not confined: only for `tests.bench.confinement`, which compares. The
worker itself has no such switch.
"""

import sys

from mecapy_worker.child import child
from mecapy_worker.child.child import begin, serve
from mecapy_worker.sandbox import confine

__all__ = ["begin", "prepare", "serve"]


def prepare(preload: list[str]) -> None:
    """In a zygote that makes no PID namespaces, either."""
    sys.modules["__main__"].namespaces.missing = "not at all"  # pyright: ignore[reportAttributeAccessIssue]
    child.prepare(preload)


def _not_at_all(*_: object) -> confine.Layers:
    return confine.Layers((), {})


confine.confine = _not_at_all

"""The child of a worker, not confined: only for `tests.bench.confinement`, which compares. The
worker itself has no such switch.
"""

import sys

from mecapy_worker import child, sandbox
from mecapy_worker.child import serve, warm

__all__ = ["prepare", "serve", "warm"]


def prepare(preload: list[str]) -> None:
    """In a zygote that makes no PID namespaces, either."""
    sys.modules["__main__"].namespaces.missing = "not at all"  # pyright: ignore[reportAttributeAccessIssue]
    child.prepare(preload)


def _not_at_all(*_: object) -> sandbox.Layers:
    return sandbox.Layers((), {})


sandbox.confine = _not_at_all

"""The zygote's memory in large pages."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_GATHER = """
import hashlib, os
from mecapy_worker.zygote.hooks import hugepages
reserved = hugepages.reserve(16 << 20)
held = [os.urandom(100_000) for _ in range(200)] + [os.urandom(100) for _ in range(100_000)]
del reserved
before = [hashlib.sha256(piece).digest() for piece in held]
hugepages.fill()
hugepages.gather()
hugepages.join()
if (pid := os.fork()) == 0:
    held[0] = b"changed"
    os._exit(0 if [hashlib.sha256(piece).digest() for piece in held[1:]] == before[1:] else 1)
assert os.waitpid(pid, 0)[1] == 0
assert [hashlib.sha256(piece).digest() for piece in held] == before
"""


@pytest.mark.parametrize("allocator", ["pymalloc", "malloc"])
def test_memory_holds_what_it_held(allocator: str) -> None:
    """Filling, gathering and joining change nothing of what anything holds, neither here nor in a
    fork.
    """
    subprocess.run(
        [sys.executable, "-c", _GATHER],
        check=True,
        timeout=240,
        env=os.environ | {"PYTHONMALLOC": allocator},
    )


_RESERVE = """
from mecapy_worker.zygote.hooks import hugepages
reserved = hugepages.reserve(64 << 20)
objects = [str(number) * 9 for number in range(10**5, 3 * 10**5)]
places = sorted(map(id, objects))
most = max(sum(start <= place < start + (64 << 20) for place in places[::100])
           for start in places[::1000])
assert most > 0.9 * len(places[::100]), most
"""


def test_small_objects_lie_in_one_piece() -> None:
    """What is made after `reserve` lies side by side, where large pages can hold it."""
    subprocess.run([sys.executable, "-c", _RESERVE], check=True, timeout=240)

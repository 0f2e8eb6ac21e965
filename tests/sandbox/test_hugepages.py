"""The zygote's memory in large pages."""

from __future__ import annotations

import subprocess
import sys

_GATHER = """
import hashlib, os
from mecapy_worker import hugepages
held = [os.urandom(100_000) for _ in range(200)]
before = [hashlib.sha256(piece).digest() for piece in held]
hugepages.gather()
if (pid := os.fork()) == 0:
    held[0] = b"changed"
    os._exit(0 if [hashlib.sha256(piece).digest() for piece in held[1:]] == before[1:] else 1)
assert os.waitpid(pid, 0)[1] == 0
assert [hashlib.sha256(piece).digest() for piece in held] == before
"""


def test_memory_holds_what_it_held() -> None:
    """Gathering moves pages and changes nothing, neither here nor in a fork."""
    subprocess.run([sys.executable, "-c", _GATHER], check=True, timeout=30)

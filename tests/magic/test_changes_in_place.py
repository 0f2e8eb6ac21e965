"""What a cell changed in place and cannot be changed here is said, never lost in silence."""

from __future__ import annotations

import pytest

from .conftest import Kernel

STATES = {
    "its state cannot be had there": (
        "def __getstate__(self): return {'n': self.n, 'here': self.here}\n    def __setstate__(self, state): self.n = state['n']"
    ),
    "its state cannot travel": "def __setstate__(self, state): self.n = state['n']",
    "nor by itself": "",
}


@pytest.mark.parametrize("how", STATES.values(), ids=STATES)
def test_an_object_that_cannot_travel_back(kernel: Kernel, how: str) -> None:
    """A change of it is named with the reason; where a cell only reads it, nothing is said."""
    assert kernel.run(f"class M:\n    n = 0\n    {how}\nm = M(); m.n = m.here = 1; held = [m]").ok
    ran = kernel.run("%%mecapy\nread = held[0].n")
    assert ran.ok and ran.stderr == "" and kernel.value("read") == "1"
    ran = kernel.run("%%mecapy\nheld[0].n = 2; held[0].lock = __import__('threading').Lock()")
    assert ran.ok and "a M did not come home: M: " in ran.stderr, ran

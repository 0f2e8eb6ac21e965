"""Objects that nobody counts references of, in the zygote."""

from __future__ import annotations

import subprocess
import sys

_MAKE = """
import gc, sys, types, weakref
from mecapy_worker.zygote.hooks import immortal
class Thing:
    def __init__(self, name): self.name = name
things = {f"thing {n}": Thing(f"name {n}") for n in range(1000)}
made = immortal.make()
knows = sys.version_info >= (3, 12)
assert (made > 3000) is knows, made
thing, name, code = things["thing 7"], things["thing 7"].name, Thing.__init__.__code__
before = [sys.getrefcount(each) for each in (thing, name, code, code.co_varnames, Thing)]
more = [(thing, name, code, code.co_varnames, Thing)] * 100
more += [[thing, name, code, code.co_varnames, Thing] for _ in range(100)]
after = [sys.getrefcount(each) for each in (thing, name, code, code.co_varnames, Thing)]
assert (before == after) is knows, (before, after)
# What comes later lives and dies as ever.
later = Thing("later")
gone = weakref.ref(later)
things["later"] = later
del things["later"], later
assert gone() is None and len(things) == 1000
del things, more, thing
gc.collect()
exec("class Other(Thing): pass\\nassert Other('x').name == 'x'")
"""


def test_nobody_counts() -> None:
    """From Python 3.12 on, references to what was there are not counted, and all else is as before;
    on 3.11 nothing happens.
    """
    ran = subprocess.run(
        [sys.executable, "-c", _MAKE], capture_output=True, text=True, timeout=240, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")

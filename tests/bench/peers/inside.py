"""What is measured inside the kernel, the same for every peer: the calls of a map, and an array
there and back.

A peer is an object with `map(count)` (the results of so many trivial calls) and `echo(array)` (the
array plus one, made over there). Imported in the peers' environment too: standard library and numpy
only.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import time
from contextlib import ExitStack
from typing import Any

import numpy as np

_LENGTH = (256 << 20) // 8
_ROUNDS = 2
_open = ExitStack()


def opened(name: str) -> Any:
    """The peer of `on_<name>`, open until `close`."""
    return _open.enter_context(importlib.import_module(f"{__package__}.on_{name}").opened())


def close() -> None:
    _open.close()


def end(worker: subprocess.Popen[bytes]) -> None:
    worker.terminate()
    try:
        worker.wait(10)
    except subprocess.TimeoutExpired:
        worker.kill()


def figures(peer: Any, calls: int) -> str:
    """Calls per second of one map, and bytes per second of 256 MiB there and back, as JSON."""
    list(peer.map(100))  # warm
    began = time.perf_counter()
    results = list(peer.map(calls))
    took_s = time.perf_counter() - began
    assert sorted(results) == list(range(1, calls + 1))
    return json.dumps({"calls": calls, "calls_per_s": calls / took_s, **moved(peer)})


def moved(peer: Any) -> dict[str, float | str]:
    """The best of some rounds, beyond what adding one takes here. Each round has a new array:
    nothing is known from before.
    """
    np.ones(2 * _LENGTH)  # 512 MiB of fresh memory: its first touch is the machine's business
    taken, here = list[float](), list[float]()
    for number in range(_ROUNDS):
        array = np.arange(_LENGTH) + (number + 0.5)
        began = time.perf_counter()
        expected = array + 1
        here.append(time.perf_counter() - began)
        began = time.perf_counter()
        try:
            home = peer.echo(array)
        except Exception as error:
            return {
                "bytes_per_s": 0.0,
                "no_data": f"{type(error).__name__} after {time.perf_counter() - began:.0f} s: "
                f"{error}"[:300].rstrip(": "),
            }
        taken.append(time.perf_counter() - began)
        assert np.array_equal(home, expected)
        del home, expected
    beyond_s = min(taken) - min(here) if getattr(peer, "travels", True) else min(taken)
    return {"bytes_per_s": 2 * 8 * _LENGTH / max(beyond_s, 1e-3)}

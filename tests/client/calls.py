"""What the tests call on workers."""

from __future__ import annotations

import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def double(number: int) -> int:
    return 2 * number


def checked(number: float, text: str) -> float:
    return number / (number - 3.5)


def held(number: int, gate: str) -> int:
    """0 ends once nothing lies there any more; the others at once."""
    while not number and Path(gate).exists():
        time.sleep(0.02)
    return number


def sleepy(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def unpicklable(number: int) -> Iterator[int]:
    return (item for item in (number,))


def rosenbrock(x: Any) -> float:
    return float((1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)


class Model:
    loss = 0.0
    parts: list[Any]


def train(model: Model, rate: float) -> Model:
    model.loss = 2 * rate
    model.parts.append(rate)
    return model


def scale(array: Any, by: float) -> Any:
    array *= by
    return array


def same(value: Any) -> Any:
    return value


def noisy(number: int) -> int:
    print("call", number)
    if number % 2:
        raise ValueError(number)
    return number


def counted() -> tuple[int, float, list[str]]:
    """What a call before it left behind, were there any."""
    import os
    import random

    space = globals()
    space["_count"] = space.get("_count", 0) + 1
    found = sorted(name for name in space if name in ("left_here", "_mecapy_args"))
    space["left_here"] = True
    os.chdir("/")
    return space["_count"], random.random(), found


def ends(number: int) -> int:
    import os

    if number == 2:
        os._exit(3)
    return number


def ramp(number: int) -> Any:
    import numpy

    return numpy.arange(100_000) + number


# as a script's: a module of the tests brings its package, and with it pytest, into each task
Model.__module__ = "__main__"
_script = {**globals(), "__name__": "__main__"}
for _name in (
    "double",
    "checked",
    "sleepy",
    "unpicklable",
    "rosenbrock",
    "train",
    "scale",
    "same",
    "noisy",
    "counted",
    "ends",
    "ramp",
):
    globals()[_name] = types.FunctionType(globals()[_name].__code__, _script)

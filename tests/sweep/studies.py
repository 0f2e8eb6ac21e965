"""Functions that are swept, in a module that workers do not have."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

E_MODULUS = 210e9


@dataclass
class Beam:
    deflection: float
    stress: float


def beam(L: float, d: float, F: float = 100.0) -> Beam:
    """A round cantilever with a force at its end."""
    if d <= 0:
        raise ValueError(f"a diameter of {d}")
    inertia = 3.141592653589793 * d**4 / 64
    return Beam(F * L**3 / (3 * E_MODULUS * inertia), F * L * d / 2 / inertia)


def marked(x: int, y: int) -> dict[str, Any]:
    """A result that tells whether it is the one from before."""
    if x == 3 and y == 20:
        raise ZeroDivisionError("no such point")
    return {"sum": x + y, "run": uuid.uuid4().hex}


def drawn(x: int, rng: Any) -> float:
    return float(rng.random()) + x


def trivial(x: int) -> int:
    return x + 1


def deadly(x: int) -> int:
    if x == 9:  # not among those that travel alone
        os._exit(9)
    return x


def held(x: int, gate: str) -> int:
    """Ends once nothing lies there any more."""
    while Path(gate).exists():
        time.sleep(0.02)
    return x


def held_but_one(x: int, gate: str) -> int:
    return held(x, gate) if x else x

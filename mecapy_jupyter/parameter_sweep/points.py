"""The points of a sweep with their content keys and seeds."""

from __future__ import annotations

import inspect
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from mecapy_jupyter import content_key, wire
from mecapy_jupyter.parameter_sweep.design import Arguments, Design
from mecapy_jupyter.shared import errors, version
from mecapy_jupyter.travel.environment import prelude

RNG = "rng"
_PINNED = re.compile(r"==\s*\d")
Seed = tuple[int, ...]
"""The seed of the sweep, then the spawn key of the point."""


@dataclass(frozen=True, slots=True)
class Point:
    """`key`: names its content; drawn by lot for one that has none."""

    key: str
    arguments: Arguments
    seed: Seed | None = None


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """What a sweep is to compute. `about` is kept with it; `remarks` are for the user."""

    fn: Callable[..., Any]
    names: tuple[str, ...]
    points: list[Point]
    about: wire.JsonObject
    remarks: tuple[str, ...] = ()


def plan(
    fn: Callable[..., Any],
    design: Design,
    seed: int | None,
    there: Mapping[str, str],
    added: Sequence[str] = (),
) -> SweepPlan:
    """`there`: versions of packages on the workers. `added`: packages that the calls add. Raises
    TypeError if the function does not take these arguments, or takes a generator and there is no
    seed.
    """
    seeded = _check(fn, design.names, seed)
    about: wire.JsonObject = {
        "function": getattr(fn, "__qualname__", repr(fn)),
        "inputs": list(design.names),
        "python": version.minor(),
        "mecapy": version.__version__,
    }
    if seed is not None:
        about["seed"] = seed
    remarks: list[str] = []
    if added:
        about["packages"] = list(added)
    if free := [one for one in added if not _PINNED.search(one)]:
        remarks.append(
            f"earlier results are used, whatever version of {', '.join(free)} computed them; "
            f'name one ("{free[0]}==1.0"), or use again=True'
        )
    try:
        around = prelude.make((), {"": fn}, ())
        of_function = content_key.function_key(fn, there, added, around)
        about |= {"code": of_function.code, "versions": dict(of_function.versions)}
    except (content_key.NoContentKey, errors.CannotSend) as trouble:
        of_function = None
        remarks.append(f"earlier results cannot be used: {trouble}")
    points = _points(design, of_function, seed if seeded else None, remarks)
    return SweepPlan(fn, design.names, points, about, tuple(remarks))


def _check(fn: Callable[..., Any], names: tuple[str, ...], seed: int | None) -> bool:
    """Whether the function takes a generator."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):  # a builtin
        return False
    takes = RNG in signature.parameters and RNG not in names
    given = dict.fromkeys(names) | ({RNG: None} if takes and seed is not None else {})
    try:
        signature.bind(**given)
    except TypeError as wrong:
        advice = ": give seed=" if takes and seed is None else ""
        name = getattr(fn, "__name__", repr(fn))
        raise TypeError(f"a sweep cannot call {name}{signature}: {wrong}{advice}") from None
    return takes and seed is not None


def _points(
    design: Design,
    of_function: content_key.FunctionKey | None,
    seed: int | None,
    remarks: list[str],
) -> list[Point]:
    digest = _Digests()
    points: list[Point] = []
    seen = Counter[bytes]()
    unnamed = 0
    for number, arguments in enumerate(design.points):
        try:
            named = digest.named(design.names, arguments)
        except content_key.NoContentKey as trouble:
            named = None
            if not unnamed:
                remarks.append(f"a point whose earlier result cannot be used runs again: {trouble}")
            unnamed += 1
        spawn: Seed | None = None
        if seed is not None:
            spawn = (seed, *_spawn_key(named, seen, number))
        key = (
            uuid.uuid4().hex
            if named is None or of_function is None
            else of_function.of(named, b"" if spawn is None else repr(spawn).encode())
        )
        points.append(Point(key, arguments, spawn))
    return points


class _Digests:
    """Digests of arguments; a value of an axis is digested once."""

    def __init__(self) -> None:
        self._known = dict[int, bytes]()

    def named(self, names: tuple[str, ...], arguments: Arguments) -> dict[str, bytes]:
        return {name: self._of(name, value) for name, value in zip(names, arguments, strict=True)}

    def _of(self, name: str, value: Any) -> bytes:
        # the design keeps each value alive, so an id stands for it
        digest = self._known.get(id(value))
        if digest is None:
            digest = self._known[id(value)] = content_key.value_digest(value, name)
        return digest


def _spawn_key(named: Mapping[str, bytes] | None, seen: Counter[bytes], number: int) -> Seed:
    """A key made of the point's arguments, so that neither order nor other points count; the second
    point with the same arguments has another.
    """
    if named is None:
        return (number,)
    together = blake3()
    for name, digest in sorted(named.items()):
        together.update(name.encode() + b"\0" + digest)
    point = together.digest(length=16)
    seen[point] += 1
    words = (int.from_bytes(point[at : at + 4], "big") for at in range(0, 16, 4))
    return (*words, seen[point] - 1)

"""Classes of machines, read from the one file that MECAPY_MACHINES names. Starts nothing and asks
nobody.

A file is TOML, one table per class: `[pool]`, `[large]`, …; before them may stand `budget`. The
class `pool` serves tasks that ask for nothing; a file without one leaves it to workers that
somebody starts.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.units import byte_count
from mecapy_jupyter.wire import POOL

BY_HAND, LOCAL, SLURM, SCALEWAY_VM, KEDA = "", "local", "slurm", "scaleway-vm", "keda"
SCALEWAY_JOB, SCALEWAY_CONTAINER = "scaleway-job", "scaleway-container"
CLOUDS = (SCALEWAY_VM, SCALEWAY_JOB, SCALEWAY_CONTAINER)
"""Providers whose machines ask the gateway for credentials; others have the scaler's."""

PROVIDERS = (BY_HAND, LOCAL, SLURM, *CLOUDS, KEDA)
NOT_OURS = (BY_HAND, KEDA)
"""Somebody else starts and stops the workers: an operator, a cluster."""

BILLING = ("second", "hour")
_BUDGET = "budget"
_SERVERLESS_CPUS = 6
_SERVERLESS_GIB = {SCALEWAY_JOB: 15, SCALEWAY_CONTAINER: 10}
"""The memory for tasks, of 16 GiB and of 12,228 MB, because the worker needs some."""

_SERVERLESS_NEEDS = {"zones": "zones", "image": "image", "cpus": "cpus", "memory": "memory_bytes"}
_NEEDED = {
    SCALEWAY_VM: {"types": "types", "zones": "zones", "image": "image"},
    SCALEWAY_JOB: _SERVERLESS_NEEDS,
    SCALEWAY_CONTAINER: _SERVERLESS_NEEDS,
}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class MachineClass:
    """One kind of machine. `cpus` and `memory_bytes` are what one task on it may use, 0: not said;
    `slots` tasks run on it at once. `price` is in euros an hour. `billing`: in whole hours, or by
    the second. `min` and `max` machines of it may run. `provider` "": somebody starts them.
    `partition` is Slurm's. `types`, `zones`: what a cloud calls them, in the order to ask in;
    `image`: the container that runs there.
    """

    name: str
    cpus: float = 0.0
    memory_bytes: int = 0
    gpu: str = ""
    slots: int = 1
    price: float = 0.0
    billing: str = "second"
    provider: str = BY_HAND
    min: int = 0
    max: int = 0
    boot_s: float = 60.0
    partition: str = ""
    hours: float = 24.0
    types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    image: str = ""

    @property
    def on_demand(self) -> bool:
        """Whether none may be there until somebody asks."""
        return bool(self.provider) and self.min == 0


POOL_BY_HAND = MachineClass(POOL)


@dataclass(frozen=True, slots=True)
class MachinesFile:
    """`classes`: `pool` is the first. `budget`: euros a day (UTC); 0: any."""

    classes: tuple[MachineClass, ...] = (POOL_BY_HAND,)
    budget: float = 0.0


_KEYS = {one.name: one.name for one in fields(MachineClass)} | {
    "memory": "memory_bytes",
    "price_per_hour": "price",
}
_NOT_KEYS = {"name", "memory_bytes", "price"}
_SETTABLE = sorted(_KEYS.keys() - _NOT_KEYS)


def read(path: str) -> MachinesFile:
    """What the file says; only `pool`, by hand, where no file is named."""
    if not path:
        return MachinesFile()
    try:
        tables = tomllib.loads(Path(path).read_text())
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise ConfigError(f"MECAPY_MACHINES names {path}, which cannot be read: {why}") from None
    except ValueError as problem:
        raise ConfigError(f"{path} is no TOML: {problem}") from None
    return of_tables(tables, path)


def of_tables(tables: Mapping[str, object], path: str) -> MachinesFile:
    found = [
        _class(name, table, f"{path}, [{name}]")
        for name, table in tables.items()
        if name != _BUDGET
    ]
    pool = [one for one in found if one.name == POOL]
    classes = (*(pool or (POOL_BY_HAND,)), *(one for one in found if one.name != POOL))
    budget = _value(_BUDGET, tables.get(_BUDGET, 0.0), path)
    return MachinesFile(classes, cast(float, budget))


def named(classes: Sequence[MachineClass], name: str) -> MachineClass | None:
    return next((one for one in classes if one.name == name), None)


def _class(name: str, table: object, where: str) -> MachineClass:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a class is named by small letters, digits and `-`")
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: a class is a table; write `[{name}]` above its lines")
    values: dict[str, object] = {}
    for key, value in cast(dict[str, object], table).items():
        if key not in _SETTABLE:
            near = difflib.get_close_matches(key, _SETTABLE, 1)
            meant = f"; did you mean `{near[0]}`?" if near else ""
            raise ConfigError(
                f"{where}: there is no key `{key}`{meant} There are {', '.join(_SETTABLE)}"
            )
        values[_KEYS[key]] = _value(key, value, where)
    made = MachineClass(name, **values)  # pyright: ignore[reportArgumentType]  (checked above)
    _check(made, where)
    return made


def _value(key: str, value: object, where: str) -> object:
    match key:
        case "memory":
            return _memory(value, where)
        case "types" | "zones":
            return _texts(key, value, where)
        case "gpu" | "partition" | "image":
            good, wanted = isinstance(value, str), "a text"
        case "provider" | "billing":
            known = PROVIDERS if key == "provider" else BILLING
            good = value in known
            wanted = "one of " + ", ".join(f'"{one}"' for one in known)
        case "slots" | "min" | "max":
            good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            wanted = "a whole number from 0 on"
        case _:
            good = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
            wanted = "a number from 0 on"
    if not good:
        raise ConfigError(f"{where}: `{key}` is {value!r}; it must be {wanted}")
    return value


def _texts(key: str, value: object, where: str) -> tuple[str, ...]:
    found = cast(list[object], value) if isinstance(value, list) else []
    texts = tuple(one for one in found if isinstance(one, str) and one)
    if not texts or len(texts) < len(found):
        raise ConfigError(f'{where}: `{key}` is {value!r}; it must be a list, as ["DEV1-M"]')
    return texts


def _memory(value: object, where: str) -> int:
    try:
        return byte_count(value) if isinstance(value, str | int) else byte_count(repr(value))
    except ValueError as problem:
        raise ConfigError(f"{where}: `memory`: {problem}") from None


def _check(made: MachineClass, where: str) -> None:
    if made.slots < 1:
        raise ConfigError(f"{where}: `slots` is 0; a machine runs at least 1 task at once")
    if made.max < made.min:
        raise ConfigError(f"{where}: `max` is {made.max} and `min` is {made.min}; raise `max`")
    if made.provider and not made.max:
        raise ConfigError(f"{where}: `max` is 0, so none would ever start; set `max`")
    if not made.provider and made.max:
        raise ConfigError(f"{where}: `max` needs a `provider`, which starts them")
    needed = _NEEDED.get(made.provider, {})
    if missing := [key for key, name in needed.items() if not getattr(made, name)]:
        raise ConfigError(
            f"{where}: the provider {made.provider} needs {', '.join(missing)} as well"
        )
    gib = _SERVERLESS_GIB.get(made.provider)
    cpus, memory = made.cpus * made.slots, made.memory_bytes * made.slots
    if gib and (cpus > _SERVERLESS_CPUS or memory > gib << 30):
        kind = made.provider.partition("-")[2]
        raise ConfigError(
            f"{where}: a {kind} has at most {_SERVERLESS_CPUS} CPUs, and {gib} GiB for its tasks; "
            f"take {SCALEWAY_VM}"
        )
    if made.boot_s <= 0 or made.hours <= 0:
        raise ConfigError(f"{where}: `boot_s` and `hours` must be above 0")

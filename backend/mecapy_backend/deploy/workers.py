"""`mecapy deploy workers`: how many machines of a class there should be. It stands in the file of
classes, which a running `mecapy fleet` follows; nothing is started here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tomlkit
from tomlkit.items import Table

from mecapy_backend.fleet import classes
from mecapy_backend.fleet.classes import MachineClass, MachinesFile
from mecapy_backend.shared import environment
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.units import cpus, size
from mecapy_jupyter.wire import POOL

HOURS_A_MONTH = 730
_FIRST = {
    classes.SCALEWAY_VM: {
        "cpus": 3,
        "memory": "3GB",
        "types": ["DEV1-M", "DEV1-L"],
        "zones": ["fr-par-1", "fr-par-2"],
        "price_per_hour": 0.027,  # with its address and its volume
        "billing": "hour",
        "boot_s": 180,
    },
    classes.LOCAL: {},
}
"""The class `pool`, where a file has none of that provider."""


@dataclass(frozen=True, slots=True)
class WantedWorkers:
    """`count` always run, and up to `most` while tasks wait (0: as before). `name`: of the class,
    where the file has several of that provider. `image`: of its machines, "": as before.
    """

    count: int
    provider: str
    name: str = ""
    most: int = 0
    image: str = ""


def deploy(wanted: WantedWorkers, *, dry_run: bool) -> int:
    """Prints the number of machines and their cost."""
    path = Path(environment.settings().machines or _unset())
    before = path.read_text() if path.exists() else ""
    name, after = changed(before, wanted, str(path))
    file = classes.of_tables(tomlkit.parse(after).unwrap(), str(path))
    for line in plan(file, name):
        print(line)
    if dry_run:
        print("nothing was written (--dry-run)")
    elif after == before:
        print(f"{path} needs no change")
    else:
        _replace(path, after)
        print(f"written to {path}: a running `mecapy fleet` follows it; see `mecapy fleet status`")
    return 0


def changed(text: str, wanted: WantedWorkers, path: str) -> tuple[str, str]:
    """The class that is meant, and the file's text with its `min` and `max`. All else stays as it
    is. Raises ConfigError.
    """
    file = classes.of_tables(tomlkit.parse(text).unwrap(), path) if text else MachinesFile()
    document = tomlkit.parse(text)
    own = [one for one in file.classes if one.provider == wanted.provider]
    kind = _meant(own, wanted, path)
    if kind is None:
        name = _new(file, wanted, path)
        document[name] = tomlkit.table()
        table = document[name]
        assert isinstance(table, Table)
        for key, value in {**_FIRST[wanted.provider], "provider": wanted.provider}.items():
            table[key] = value
        most = 0
    else:
        name, most = kind.name, kind.max
        table = document[name]
        assert isinstance(table, Table)
    if wanted.image:
        table["image"] = wanted.image
    table["min"], table["max"] = wanted.count, wanted.most or max(most, wanted.count, 1)
    return name, tomlkit.dumps(document)


def plan(file: MachinesFile, name: str) -> list[str]:
    """What the class will be, and what it costs a month."""
    kind = classes.named(file.classes, name)
    assert kind
    more = f", and up to {kind.max} while tasks wait" if kind.max > kind.min else ""
    lines = [f"{name} on {kind.provider}: always {_machines(kind.min)}{more}", _each(kind)]
    if not kind.price:
        return [*lines, "cost: not known; set `price_per_hour` (euros)"]
    month = kind.price * HOURS_A_MONTH
    costs = [f"€{kind.min * month:.2f} for what always runs"] if kind.min else []
    if kind.max > kind.min:
        costs.append(f"€{kind.max * month:.2f} if {kind.max} ran all the time")
    lines.append(f"cost: €{kind.price:g} an hour for each; a month {', '.join(costs)}")
    day = sum(one.min * one.price * 24 for one in file.classes)
    if file.budget:
        lines.append(f"budget: €{file.budget:g} a day; what always runs takes €{day:.2f} of it")
        if day > file.budget:
            lines.append("it is spent before the day ends, and no machine starts then: raise it")
    return lines


def _each(kind: MachineClass) -> str:
    known = [cpus(kind.cpus)] if kind.cpus else []
    known += [size(kind.memory_bytes)] if kind.memory_bytes else []
    known += [f"GPU {kind.gpu}"] if kind.gpu else []
    known += [f"{kind.slots} tasks at once"] if kind.slots > 1 else []
    known += [f"takes tasks ~{kind.boot_s:.0f} s after it is asked for"]
    known += [f"paid by the {kind.billing}"] if kind.price else []
    where = [" or ".join(kind.types)] if kind.types else []
    where += ["in " + " or ".join(kind.zones)] if kind.zones else []
    return f"each: {', '.join([' '.join(where), *known] if where else known)}"


def _machines(number: int) -> str:
    return f"{number} machine{'' if number == 1 else 's'}"


def _meant(own: list[MachineClass], wanted: WantedWorkers, path: str) -> MachineClass | None:
    if wanted.name:
        found = classes.named(own, wanted.name)
        if found is None and own:
            names = ", ".join(one.name for one in own)
            raise ConfigError(
                f"{path} has no class {wanted.name!r} on {wanted.provider}, only {names}"
            )
        return found
    if len(own) > 1:
        names = ", ".join(one.name for one in own)
        raise ConfigError(f"{path} has several classes on {wanted.provider}: add --class {names}")
    return own[0] if own else None


def _new(file: MachinesFile, wanted: WantedWorkers, path: str) -> str:
    """The name of a class that the file does not have yet."""
    name = wanted.name or POOL
    taken = classes.named(file.classes, name)
    if taken and taken.provider:
        raise ConfigError(
            f"{path}: the class {name} is on {taken.provider}; name another by --class, or change "
            f"its `provider`"
        )
    if wanted.provider not in _FIRST:
        raise ConfigError(f"{path} has no class with `provider = {wanted.provider!r}`: add one")
    if wanted.provider in classes.CLOUDS and not wanted.image:
        raise ConfigError(
            "its machines need the worker's image: add --image, as `deploy image` says"
        )
    return name


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: `mecapy fleet` reads it meanwhile."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    if path.exists():
        part.chmod(path.stat().st_mode & 0o777)
    part.replace(path)


def _unset() -> str:
    raise ConfigError("MECAPY_MACHINES is not set: name the file of the classes of machines by it")

"""What the worker has installed, which a task's packages build upon."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mecapy_backend.shared.settings import Settings

_OURS = "mecapy-jupyter"


@dataclass(frozen=True, slots=True)
class BasePackages:
    """Distribution → version of all; `ours`: those that the child itself runs on, which nothing
    may replace.
    """

    versions: dict[str, str]
    ours: dict[str, str]


def base_packages() -> BasePackages:
    """Takes 0.2 s, once until something is installed."""
    return _found(changed())


def other_than(named: Mapping[str, str]) -> list[str]:
    """What is installed here in another version than named. One text may name several versions,
    with commas.
    """
    versions = base_packages().versions
    return [
        f"the worker has {name} {here}, and its key names {there or 'no version of it'}"
        for name, there in named.items()
        if (here := versions.get(canonicalize_name(name))) and here not in there.split(",")
    ]


def changed() -> tuple[float, ...]:
    """Differs after something was installed or removed."""
    folders = [Path(folder) for folder in sys.path if folder.endswith("-packages")]
    return tuple(folder.stat().st_mtime for folder in folders if folder.is_dir())


@functools.lru_cache(1)
def _found(_changed: tuple[float, ...]) -> BasePackages:
    versions: dict[str, str] = {
        canonicalize_name(one.metadata["Name"]): one.version
        for one in importlib.metadata.distributions()
    }
    ours, todo = dict[str, str](), [_OURS]
    while todo:
        name = canonicalize_name(todo.pop())
        if name in versions and name not in ours:
            ours[name] = versions[name]
            todo += _required(importlib.metadata.requires(name) or ())
    return BasePackages(versions, ours)


def _required(lines: Iterable[str]) -> list[str]:
    found = list[str]()
    for line in lines:
        try:
            one = Requirement(line)
        except InvalidRequirement:
            continue
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            found.append(one.name)
    return found


def preloaded(settings: Settings, base: BasePackages) -> list[str]:
    """The distributions of what every child has imported already."""
    owners = importlib.metadata.packages_distributions()
    tops = {name.partition(".")[0] for name in settings.preload}
    names = {canonicalize_name(owner) for top in tops for owner in owners.get(top, ())}
    return sorted(names & base.versions.keys())

"""The versions of the packages that code uses, with all that these require."""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def versions(modules: Iterable[str], there: Mapping[str, str]) -> dict[str, str]:
    """Distribution → version, for top-level modules. `there`: versions where the code will run,
    which count before those here.
    """
    return {name: version for name, version in named(modules, there).items() if version}


def named(modules: Iterable[str], there: Mapping[str, str]) -> dict[str, str]:
    """The same, with an empty version for what is installed nowhere that is known."""
    known = {_normal(name): version for name, version in there.items()}
    found = dict[str, str]()
    todo = [name for module in modules for name in _distributions(module)]
    while todo:
        name = _normal(todo.pop())
        if name not in found:
            found[name] = known.get(name) or installed(name)
            todo.extend(_required(name))
    return dict(sorted(found.items()))


def _distributions(module: str) -> list[str]:
    if not module or module in sys.stdlib_module_names:  # "": of a relative import
        return []
    return [module] if installed(_normal(module)) else _owners().get(module, [module])


def installed_within(seconds: float) -> bool:
    """Whether something was installed here, or removed, so lately."""
    folders = [Path(folder) for folder in sys.path if folder.endswith("-packages")]
    changed_s = [folder.stat().st_mtime for folder in folders if folder.is_dir()]
    return time.time() - max(changed_s, default=0.0) < seconds


@functools.cache
def _owners() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@functools.lru_cache(maxsize=1024)
def installed(name: str) -> str:
    """Its version; empty for one that is not installed here."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.lru_cache(maxsize=1024)
def _required(name: str) -> tuple[str, ...]:
    """The required packages, without those that only extras need."""
    try:
        lines = importlib.metadata.requires(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(
        named[0] for line in lines if "extra ==" not in line and (named := _NAME.match(line))
    )


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")

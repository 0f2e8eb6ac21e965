"""Finds the user's own modules and their sources. Nothing is executed to find a source."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import site
import sys
import sysconfig
import types
from collections.abc import Iterable
from functools import cached_property, lru_cache
from pathlib import Path

from mecapy_jupyter.shared.errors import CannotSend
from mecapy_jupyter.travel.environment import (
    executed_source,
    module_state,
    module_text,
    patches,
)
from mecapy_jupyter.travel.environment.module_importer import is_served
from mecapy_jupyter.travel.environment.source_files import ModuleSource

_OURS = frozenset({"__main__", "__mp_main__", "mecapy_jupyter", "mecapy_backend", "mecapy_worker"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def is_own(module: types.ModuleType) -> bool:
    """Whether a worker cannot have it: a file of the user's, neither Python's own nor installed."""
    if module.__name__.partition(".")[0] in _OURS:
        return False
    if is_served(module) or module_state.is_made(module):
        return True
    file = getattr(module, "__file__", None)
    if isinstance(file, str) and file.startswith(_installed_folders()):
        return False
    places = (
        [file]
        if isinstance(file, str)
        else [str(place) for place in getattr(module, "__path__", ())]
    )
    return bool(places) and all(_own_file(str(Path(place).absolute())) for place in places)


def has_made(cls: type) -> bool:
    """Whether a class is of the notebook or of a module of the user's."""
    module = sys.modules.get(cls.__module__)
    return cls.__module__ == "__main__" or (module is not None and is_own(module))


def loaded() -> list[str]:
    """The names of all that are loaded."""
    found: dict[str, object] = dict(sys.modules)
    return [
        name for name, one in found.items() if isinstance(one, types.ModuleType) and is_own(one)
    ]


def after_cell(text: str = "") -> None:
    """Keep the executed text of the modules that it imported, and look for changes in installed
    ones.
    """
    executed_source.keep(is_own)
    patches.after_cell(text, is_own)


@lru_cache(maxsize=4096)
def _own_file(file: str) -> bool:
    path = Path(file)
    # an invented file name; inside a zip it exists
    if not path.exists() and not any(parent.is_file() for parent in path.parents):
        return False
    resolved = path.resolve()
    installed = not _INSTALLED.isdisjoint(path.parts) or not _INSTALLED.isdisjoint(resolved.parts)
    return not installed and not any(resolved.is_relative_to(root) for root in _python_roots())


@lru_cache(maxsize=1)
def _installed_folders() -> tuple[str, ...]:
    """Prefixes of installed paths, which need no look at the disk."""
    return tuple(f"{root}/" for root in _python_roots())


@lru_cache(maxsize=1)
def _python_roots() -> tuple[Path, ...]:
    paths = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(
        {
            Path(path).resolve()
            for path in [*paths, *site.getsitepackages(), site.getusersitepackages()]
            if path
        }
    )


def collect(names: Iterable[str]) -> list[ModuleSource]:
    """Sources of the modules among `names` that are the user's own, and of all such modules that
    they need, parents first. Names may be dotted and need not exist (`a.b` of `from a import b`).
    Raises CannotSend for a compiled module of the user's own.
    """
    return OwnSources().of(names)


class OwnSources:
    """The sources that one submission needs. Each module is looked at once."""

    def __init__(self) -> None:
        self._found: dict[str, ModuleSource] = {}
        self._seen = set[str]()

    @cached_property
    def _loaded(self) -> dict[str, list[str]]:
        """By package, and only for a module of the user's: most cells need none."""
        loaded: dict[str, list[str]] = {}
        for name in list(sys.modules):
            loaded.setdefault(name.partition(".")[0], []).append(name)
        return loaded

    def of(self, names: Iterable[str]) -> list[ModuleSource]:
        """As `collect`: of these names, and of those before."""
        todo = [(name, False) for name in names]
        while todo:
            name, optional = todo.pop()
            if name == module_text.ANY:
                todo.extend((one, True) for one in loaded() if one not in self._seen)
            for part in _with_parents(name):
                if part in self._found:
                    continue
                if part in self._seen:
                    break
                spec = _spec(part)
                module = _source(part, spec, optional) if spec else None
                if module is not None:
                    self._found[part] = module
                    todo.extend(self._loaded_below(part))
                    todo.extend(module_text.read(module.source, part, module.is_package)[0])
                # optional for one module, but another may need it
                if module is not None or not optional:
                    self._seen.add(part)
                if module is None:
                    break
        return [self._found[name] for name in sorted(self._found)]

    def _loaded_below(self, package: str) -> list[tuple[str, bool]]:
        names = self._loaded.get(package.partition(".")[0], ())
        return [(name, True) for name in names if name.startswith(package + ".")]


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """The place of a user-defined module; None for any other. A parent that is not loaded is not
    imported.
    """
    loaded = sys.modules.get(name)
    if loaded is not None:
        if not is_own(loaded):
            return None
        return (
            loaded.__spec__ or _spec_by_file(loaded) or importlib.machinery.ModuleSpec(name, None)
        )
    parent, _, _ = name.rpartition(".")
    try:
        if not parent:
            spec = importlib.util.find_spec(name)
        else:
            above = _spec(parent)
            if above is None or above.submodule_search_locations is None:
                return None
            spec = importlib.machinery.PathFinder.find_spec(
                name, list(above.submodule_search_locations)
            )
    except (ImportError, ValueError, AttributeError):
        return None
    places = (
        [spec.origin]
        if spec and spec.has_location
        else list((spec and spec.submodule_search_locations) or ())
    )
    own = (
        name.partition(".")[0] not in _OURS
        and bool(places)
        and all(_own_file(str(Path(place).absolute())) for place in places if place)
    )
    return spec if own else None


def _spec_by_file(module: types.ModuleType) -> importlib.machinery.ModuleSpec | None:
    file = getattr(module, "__file__", None)
    return importlib.util.spec_from_file_location(module.__name__, file) if file else None


def _source(name: str, spec: importlib.machinery.ModuleSpec, optional: bool) -> ModuleSource | None:
    """None for a compiled module whose import is optional."""
    is_loaded = name in sys.modules
    if spec.loader is None or not spec.has_location:  # a namespace package, or created at run time
        folders = spec.submodule_search_locations
        place = str(next(iter(folders or ()), f"<{name}>"))
        return ModuleSource(name, folders is not None, "", place, "", is_loaded)
    text = executed_source.of(name, spec)
    if text is not None:
        file = spec.origin or f"<{name}>"
        is_package = spec.submodule_search_locations is not None
        return ModuleSource(name, is_package, text, file, _beside(file), is_loaded)
    if optional:
        return None
    raise CannotSend(
        f"your own module {name!r} ({spec.origin}) has no readable Python source here, so it "
        f"cannot travel to the worker; "
        "install it on the workers, or let the cell use only its results"
    )


def _beside(file: str) -> str:
    """Its path from the notebook's folder; empty if it is elsewhere."""
    folder = f"{Path.cwd()}/"
    return file[len(folder) :] if file.startswith(folder) else ""

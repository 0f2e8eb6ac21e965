"""Finds the user's own modules and their sources. Nothing is executed to find a source."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import site
import sys
import sysconfig
import threading
import types
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from mecapy_jupyter.shared.errors import CannotSend
from mecapy_jupyter.travel.environment import executed_source, module_state, patches
from mecapy_jupyter.travel.environment.module_importer import ModuleSource, is_served

_OURS = frozenset({"__main__", "__mp_main__", "mecapy_jupyter", "mecapy_backend", "mecapy_worker"})
_parsing = threading.Lock()
"""CPython 3.11 counts the depth of all threads' parsing together (python/cpython#106905): two at
once may fail with a SystemError.
"""

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
    found: dict[str, ModuleSource] = {}
    seen = set[str]()
    todo = [(name, False) for name in names]
    while todo:
        name, optional = todo.pop()
        for part in _with_parents(name):
            if part in found:
                continue
            if part in seen:
                break
            spec = _spec(part)
            module = _source(part, spec, optional) if spec else None
            if module is not None:
                found[part] = module
                todo.extend(
                    (loaded, True) for loaded in list(sys.modules) if loaded.startswith(part + ".")
                )
                todo.extend(_imports(module.source, part, module.is_package))
            # optional for one module, but another may need it
            if module is not None or not optional:
                seen.add(part)
            if module is None:
                break
    return [found[name] for name in sorted(found)]


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
    if spec.loader is None or not spec.has_location:  # a namespace package, or created at run time
        folders = spec.submodule_search_locations
        return ModuleSource(
            name, folders is not None, "", str(next(iter(folders or ()), f"<{name}>"))
        )
    text = executed_source.of(name, spec)
    if text is not None:
        file = spec.origin or f"<{name}>"
        return ModuleSource(
            name, spec.submodule_search_locations is not None, text, file, _beside(file)
        )
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


@lru_cache(maxsize=1024)
def _imports(source: str, name: str, is_package: bool) -> tuple[tuple[str, bool], ...]:
    """Absolute names that a source may import, possible submodules included, and whether the import
    is optional (under `try`).
    """
    try:
        with _parsing:
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()  # the import in the child reports it with its line
    package = name if is_package else name.rpartition(".")[0]
    optional = {
        node
        for attempt in ast.walk(tree)
        if isinstance(attempt, ast.Try)
        for part in attempt.body
        for node in ast.walk(part)
    }
    return tuple(
        dict.fromkeys(
            (found, node in optional)
            for node in ast.walk(tree)
            for found in _imported(node, package)
        )
    )


@lru_cache(maxsize=1024)
def bound(source: str) -> tuple[str, ...]:
    """The names that a module with this text binds on every machine: not under an `if` or `try`."""
    try:
        with _parsing:
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    return tuple(dict.fromkeys(name for node in tree.body for name in _binds(node)))


def _binds(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name) | ast.ClassDef(name) | ast.AsyncFunctionDef(name):
            yield name
        case ast.Assign(targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(ast.Name(name), _, ast.expr()):
            yield name
        case ast.Import(aliases) | ast.ImportFrom(_, aliases):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
        case _:
            pass


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module, names, level):
            above = (
                package.split(".")[: len(package.split(".")) - (level or 1) + 1] if level else []
            )
            base = ".".join([*above, *([module] if module else [])])
            yield from (
                name
                for name in (
                    base,
                    *(f"{base}.{alias.name}" for alias in names if alias.name != "*"),
                )
                if name.strip(".")
            )
        case ast.Call(
            ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            [ast.Constant(str(name)), *_],
        ):
            yield name if not name.startswith(".") else f"{package}{name}"
        case ast.Assign([ast.Name("__all__")], ast.List(items) | ast.Tuple(items)):
            yield from (
                f"{package}.{item.value}" for item in items if isinstance(item, ast.Constant)
            )
        case _:
            pass

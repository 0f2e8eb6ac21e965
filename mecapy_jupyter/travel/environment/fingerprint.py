"""Compares the settings of installed modules that a cell uses (plain values of modules and classes,
replaced functions) with a new import on the worker, and reports by name what differs and did not
travel. Numbers travel in plain, anything else as a salted digest, because a global may be a key.
Private names are not compared, because they are caches, counters and lazy imports.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, cast

from mecapy_jupyter.travel.environment import import_hook, patches, state_pickler

Mark = bool | int | float | complex | bytes
Marks = dict[str, Mark]
"""Path inside the module (`g`, `Solver.tol`) → its mark; `__version__` of the package is one."""

_OF_THE_PROCESS = frozenset(
    (
        *("sys", "os", "posix", "posixpath", "time", "site", "threading", "multiprocessing", "io"),
        *("subprocess", "tempfile", "socket", "platform", "warnings", "signal", "random", "gc"),
        "mimetypes",
        *("builtins", "logging", "asyncio", "IPython", "ipykernel", "ipywidgets", "tqdm"),
        "tokenize",  # its patterns are joined from sets
        *("mecapy_jupyter", "mecapy_worker", "mecapy_backend", "__main__", "__mp_main__"),
    )
)
"""Modules whose values belong to this process. What a cell puts there is reported all the same."""
_OF_THE_SHELL = frozenset(
    (
        *("builtins", "IPython", "ipykernel", "ipywidgets", "__main__", "__mp_main__"),
        *("mecapy_jupyter", "mecapy_worker", "mecapy_backend"),
    )
)
_MOST_ENTRIES, _MOST_SAID = 500, 5
_SALT_BYTES = 16
_ENTRIES = "[…]"
"""Ends the path of a registry, which functions of its module fill."""
_PATHS = (os.sep, "~")
_NUMBERS = (bool, int, float, complex)
_missing = object()


def of(modules: Iterable[str], salt: bytes) -> dict[str, Marks]:
    """The marks of those of these modules that are loaded."""
    return {
        name: marks
        for name in sorted(set(modules))
        if name.partition(".")[0] not in _OF_THE_PROCESS
        and "._" not in name
        and type(module := sys.modules.get(name)) is types.ModuleType
        and len(marks := _marks(module, salt)) > 1
    }


def new_salt() -> bytes:
    return os.urandom(_SALT_BYTES)


def _marks(module: types.ModuleType, salt: bytes) -> Marks:
    found: Marks = {}
    for path, value in _public(module):
        if (mark := _mark(value, module.__name__, salt)) is not None:
            found[path] = mark
    top = sys.modules.get(module.__name__.partition(".")[0])
    found["__version__"] = _digest(str(getattr(top, "__version__", "")), salt)
    return found


def _public(module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """Values and the behaviour of classes, by path."""
    for name, value in list(vars(module).items()):
        if name.startswith("_") or "cache" in name:
            continue
        if isinstance(value, type) and value.__module__ == module.__name__:
            for inner, held in list(vars(value).items()):
                if not inner.startswith("_"):
                    yield f"{name}.{inner}", held
        elif _is_of(module, value):
            for inner, held in list(vars(value).items()):
                if not inner.startswith("_") and "cache" not in inner:
                    yield f"{name}.{inner}", held
        else:
            yield name, value


def _is_of(module: types.ModuleType, value: object) -> bool:
    """Whether it is an object of a class of this very module, such as `reprlib.aRepr`."""
    return type(value).__module__ == module.__name__ and type(
        vars(type(value)).get("__dict__")
    ) is (types.GetSetDescriptorType)


def _mark(value: object, module: str, salt: bytes) -> Mark | None:
    """None for what is not compared."""
    if type(value) in _NUMBERS:
        return cast("Mark", value)
    if isinstance(value, functools.partial):
        called: object = cast(Any, value).func
        return _digest(f"partial {getattr(called, '__qualname__', '')}", salt)
    if isinstance(value, types.FunctionType):
        home = (value.__module__ or module).partition(".")[0]
        if home != module.partition(".")[0] and not state_pickler.is_users(value):
            return _digest(f"{value.__module__}.{value.__qualname__}", salt)
        return None
    return _digest(text, salt) if (text := _plain(value)) else None


def _plain(value: object) -> str:
    """Its value as text; empty if it is not made of plain values."""
    if isinstance(value, str) and value.startswith(_PATHS):
        return ""  # differs by machine
    if type(value) in (str, bytes, *_NUMBERS):
        return repr(value)
    if value is None:
        return ""  # set at run time
    kind = type(value)
    if kind in (list, tuple, set, frozenset, dict):
        held = cast("Any", value)
        if not 0 < len(held) <= _MOST_ENTRIES:
            return ""
        entries: list[object] = list(held.items() if kind is dict else held)
        texts = [_plain(entry) for entry in entries]
        if all(texts):
            # Sorted, lists too: some libraries make theirs of a set, whose order is by chance.
            return f"{kind.__name__}({', '.join(sorted(texts))})"
    return ""


def _digest(text: str, salt: bytes) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8, salt=salt).digest()


def compare(marks: Mapping[str, Marks], salt: bytes) -> None:
    """On the worker: compare now, or when the cell imports the module, and print what differs."""
    for module, here in marks.items():
        import_hook.when_imported(module, lambda module=module, here=here: _say(module, here, salt))


def _say(module: str, here: Marks, salt: bytes) -> None:
    differing = differences(module, here, _marks(sys.modules[module], salt))
    for path, numbers in differing[:_MOST_SAID]:
        print(
            f"mecapy: {path} differs from a new import{numbers} and did not travel; "
            "set it in a `%%mecapy --setup` cell, which runs here and before every "
            "task",
            file=sys.stderr,
        )
    if more := differing[_MOST_SAID:]:
        names = ", ".join(path for path, _ in more)
        print(f"mecapy: {names} also differ and did not travel", file=sys.stderr)


def differences(module: str, here: Marks, there: Marks) -> list[tuple[str, str]]:
    """The names, with both values if they are numbers. Nothing for another version, which is
    reported as such.
    """
    if here.get("__version__") != there.get("__version__"):
        return []
    found: list[tuple[str, str]] = []
    for path, mark in here.items():
        fresh = there.get(path, _missing)
        if _same(mark, fresh):
            continue
        both = isinstance(mark, _NUMBERS) and isinstance(fresh, _NUMBERS)
        found.append((f"{module}.{path}", f" ({mark!r}, there {fresh!r})" if both else ""))
    return found


def _same(mark: object, fresh: object) -> bool:
    if type(mark) is not type(fresh):
        return False
    return mark == fresh or repr(mark) == repr(fresh)  # a NaN equals nothing


_began: dict[str, tuple[bytes, Marks]] = {}


def begin(modules: Iterable[str], salt: bytes) -> None:
    """On the worker: remember the values of the modules before the cell runs."""
    _began.clear()
    for module in modules:
        if module.partition(".")[0] not in _OF_THE_SHELL:
            import_hook.when_imported(module, lambda module=module: _remember(module, salt))


def _remember(module: str, salt: bytes) -> None:
    if type(loaded := sys.modules[module]) is types.ModuleType:
        _began[module] = salt, _settable(loaded, salt)


def _settable(module: types.ModuleType, salt: bytes) -> Marks:
    """Plain values by value; functions and classes of the notebook by identity."""
    found: Marks = {}
    has_plain = module.__name__.partition(".")[0] not in _OF_THE_PROCESS
    for path, value in _public(module):
        if state_pickler.is_users(value) or patches.holds_users(value):
            found[path] = _digest(str(id(value)), salt)
        elif has_plain and (entries := _registered(value)):
            found[path + _ENTRIES] = _digest(entries, salt)
        elif has_plain and not isinstance(value, types.FunctionType):
            mark = _mark(value, module.__name__, salt)
            found |= {path: mark} if mark is not None else {}
    return found | {path: _digest(str(id(one)), salt) for path, one in _in_other_classes(module)}


def _registered(value: object) -> str:
    """The notebook's functions and classes in a registry; empty if there are none."""
    registry: dict[Any, Any] = cast(Any, value) if type(value) is dict else {}
    entries = list(registry.items()) if len(registry) <= _MOST_ENTRIES else []
    return " ".join(f"{id(key)} {id(one)}" for key, one in entries if state_pickler.is_users(one))


def _in_other_classes(module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """The notebook's functions in classes that stand in a module and come from another module of
    its package, as `json.JSONEncoder`. A package may show thousands of methods.
    """
    package = module.__name__.partition(".")[0]
    for name, value in list(vars(module).items()):
        if not isinstance(value, type) or value.__module__ == module.__name__ or name[:1] == "_":
            continue
        for inner, held in list(vars(value).items() if _is_in(package, value) else ()):
            if type(held) is types.FunctionType and held.__module__ == "__main__":
                yield f"{name}.{inner}", held


def _is_in(package: str, cls: type) -> bool:
    return str(cls.__module__).partition(".")[0] == package


def say_what_was_set(words: Collection[str]) -> None:
    """After the cell: print what it set in modules, among the names in its code."""
    for module, (salt, before) in _began.items():
        now = _settable(sys.modules[module], salt)
        for path in sorted(now.keys() | before.keys()):
            last = (module if path.endswith(_ENTRIES) else path).rpartition(".")[2]
            named = words and last in words
            if named and not _same(before.get(path, _missing), now.get(path, _missing)):
                print(
                    f"mecapy: {module}.{path}, which the cell has changed, stays on the "
                    "worker; set it in a `%%mecapy --setup` cell, which runs here and "
                    "before every task",
                    file=sys.stderr,
                )

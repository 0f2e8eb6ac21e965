"""The source text that the kernel executed for each user-defined module, kept when a cell imports
it, because the file may be edited later. A module that was imported before is compared with its
file function by function, and refused if they differ. Nothing is executed to find a source.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import sys
import types
import zipimport
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from mecapy_jupyter.shared.errors import CannotSend

_PLAIN_LOADERS = (importlib.machinery.SourceFileLoader, zipimport.zipimporter)
_kept: dict[str, tuple[object, str]] = {}
"""Module's name → its spec, which a reload replaces, and its text."""
_seen: dict[str, int] = {}
_compared: dict[str, tuple[str, dict[int, types.CodeType]]] = {}
"""Module's name → a text, and the code objects (by id) that were found in it."""
_own = set[str]()
_looked_at = 0
"""A number for all loaded modules: while it stays, only a reload can bring another text."""


def keep(is_own: Callable[[types.ModuleType], bool]) -> None:
    """After each cell: keep the text of every user-defined module that it imported or reloaded."""
    global _looked_at
    loaded = hash(tuple(map(id, sys.modules.values())))
    names, _looked_at = list(_own if loaded == _looked_at else sys.modules), loaded
    for name in names:
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None)
        if module is None or spec is None or _seen.get(name) == id(spec):
            continue
        _seen[name] = id(spec)
        if not is_own(module):
            continue
        _own.add(name)
        if spec.has_location and (text := read(spec)) is not None:
            if _edited(module, text, spec) is None:
                _kept[name] = spec, text
            else:
                _kept.pop(name, None)


def of(name: str, spec: importlib.machinery.ModuleSpec) -> str | None:
    """The text to send. None if it cannot be read. Raises CannotSend for a module whose file
    differs from what was executed.
    """
    module = sys.modules.get(name)
    entry = _kept.get(name)
    # `%autoreload` changes functions where they are, and the spec stays.
    same = module is not None and entry is not None and entry[0] is spec
    if module and entry and same and _edited(module, entry[1], spec) is None:
        return entry[1]
    text = read(spec)
    if module is None or text is None:
        return text
    if (function := _edited(module, text, spec)) is not None:
        file = Path(spec.origin or name).name
        raise CannotSend(
            f"{file} changed since its import ({function} is different now); reload "
            f"it here: `importlib.reload({name})`, or `%load_ext autoreload` and "
            "`%autoreload 2` before the import"
        )
    _kept[name] = spec, text
    return text


def read(spec: importlib.machinery.ModuleSpec) -> str | None:
    """The text from the module's loader, or from the file if the loader does not return it, as
    pytest's.
    """
    get_source = getattr(spec.loader, "get_source", None)
    try:
        if get_source is not None:
            return cast("str | None", get_source(spec.name))
        file = spec.origin
        if file and file.endswith(".py"):
            return importlib.util.decode_source(Path(file).read_bytes())
    except (ImportError, OSError):
        pass
    return None


def _edited(
    module: types.ModuleType, text: str, spec: importlib.machinery.ModuleSpec
) -> str | None:
    """The first function of the module that differs from `text`."""
    if not isinstance(spec.loader, _PLAIN_LOADERS):
        return None  # others change the code during import, as pytest does
    file = spec.origin or ""
    functions = [one for one in _functions(module) if one.__code__.co_filename == file]
    known, found = _compared.get(module.__name__, (None, dict[int, types.CodeType]()))
    if known == text and found.keys() >= {id(one.__code__) for one in functions}:
        return None
    try:
        written = _written(text, file)
    except (SyntaxError, ValueError):
        return f"{module.__name__!r}"
    here = {_outermost(meaning[0]) for meaning in written} | vars(module).keys() | {"<lambda>"}
    for function in functions:
        code = function.__code__
        # a decorator such as Hypothesis' generates code that names this file
        if _outermost(code.co_qualname) in here and _meaning(code) not in written:
            return f"{function.__qualname__!r}"
    _compared[module.__name__] = text, {id(one.__code__): one.__code__ for one in functions}
    return None


@functools.lru_cache(maxsize=256)
def _written(text: str, file: str) -> frozenset[tuple[object, ...]]:
    """What each code object of a module's text does."""
    made = compile(text, file, "exec", dont_inherit=True)
    return frozenset(_meaning(code) for code in codes(made))


def _outermost(qualified: object) -> str:
    return str(qualified).partition(".")[0]


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object, and all that are made inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def _functions(module: types.ModuleType) -> Iterator[types.FunctionType]:
    for value in list(vars(module).values()):
        if isinstance(value, type) and value.__module__ == module.__name__:
            for member in list(vars(value).values()):
                yield from _bare(member)
        else:
            yield from _bare(value)


def _bare(member: object) -> Iterator[types.FunctionType]:
    if isinstance(member, property):
        for part in (member.fget, member.fset, member.fdel):
            yield from _bare(part)
    elif isinstance(member, (staticmethod, classmethod)):
        yield from _bare(cast(Any, member).__func__)
    elif isinstance(member, types.FunctionType):
        yield member


def _meaning(code: types.CodeType) -> tuple[object, ...]:
    """What a code object does, regardless of its position."""
    return (
        code.co_qualname,
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_argcount,
        code.co_flags,
        tuple(
            _meaning(constant) if isinstance(constant, types.CodeType) else repr(constant)
            for constant in code.co_consts
        ),
    )

"""Functions, classes and modules by content. Installed ones count by name, and their version is
part of the key; the user's count by their code and by every global that the code reads.
"""

from __future__ import annotations

import builtins
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any, cast

from mecapy_jupyter.capture import code_uses
from mecapy_jupyter.content_key import code_object
from mecapy_jupyter.content_key.content import Content
from mecapy_jupyter.shared.errors import CannotSend
from mecapy_jupyter.travel.environment import user_modules

_NOT_CONTENT = frozenset(
    [
        *("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__", "_abc_impl"),
        *("__firstlineno__", "__static_attributes__", "__annotations_cache__", "__classdictcell__"),
        "__slotnames__",  # `copyreg` keeps it there
    ]
)
_MADE_BY_CODE = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_missing = object()


def add(content: Content, value: Any) -> bool:
    """False: it is none of these."""
    match value:
        case types.FunctionType() | type():
            if _is_installed(value):
                _by_name(content, value)
            elif isinstance(value, type):
                _class(content, cast("type[object]", value))
            else:
                _function(content, value)
        case types.BuiltinFunctionType() if isinstance(value.__self__, types.ModuleType | None):
            _by_name(content, value)
        case types.ModuleType():
            _module(content, value)
        case types.CellType():
            _cell(content, "", value)
        case types.CodeType():
            _code(content, value)
        case types.MethodType():
            _parts(content, "method", value.__func__, value.__self__)
        case staticmethod() | classmethod():
            held = cast("Any", value)
            _parts(content, type(held).__name__, held.__func__)
        case property():
            _parts(content, "property", value.fget, value.fset, value.fdel)
        case functools.cached_property():
            _parts(content, "cached_property", cast("Any", value).func)
        case functools._lru_cache_wrapper() if not _is_installed(value):  # pyright: ignore[reportPrivateUsage]
            held = cast("Any", value)
            _parts(content, "lru_cache", held.__wrapped__, held.cache_parameters())
        case _ if isinstance(value, _DESCRIPTORS):
            content.mark("descriptor", value.__name__.encode())
        case _:
            return False
    return True


def _parts(content: Content, kind: str, *parts: object) -> None:
    content.mark(kind, str(len(parts)).encode())
    for part in parts:
        content.add(part)


def _is_installed(value: Any) -> bool:
    """Whether a worker finds it by its name, or has it as a part of Python or of a C library."""
    if isinstance(value, type) and not value.__flags__ & _MADE_BY_CODE:
        return True
    module = sys.modules.get(value.__module__ or "")
    if module is None or value.__module__ in ("__main__", "__mp_main__"):
        return False
    found: object = module
    for name in value.__qualname__.split("."):
        found = getattr(found, name, _missing)
    return found is value and not user_modules.is_own(module)


def _by_name(content: Content, value: Any) -> None:
    module = str(getattr(value, "__module__", "") or builtins.__name__)
    content.modules.add(module.partition(".")[0])
    content.mark("name", f"{module}.{value.__qualname__}".encode())


def _function(content: Content, fn: types.FunctionType) -> None:
    content.mark("function")
    with content.at(f"{fn.__name__}()"):
        _code(content, fn.__code__)
        content.add(fn.__defaults__, "a default")
        content.add(fn.__kwdefaults__, "a default")
        content.add(vars(fn), "an attribute")
        for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
            _cell(content, name, cell)
        uses = code_uses.uses(fn.__code__)
        if any_name := sorted(uses.reads & code_uses.LOOKS_UP):
            raise content.refuse(f"uses {any_name[0]}(), which may read any variable")
        content.modules.update(name.partition(".")[0] for name in uses.imports if name)
        own_modules(content, uses.imports)
        for name in sorted(uses.reads):
            held = fn.__globals__.get(name, _missing)
            content.mark("global name", name.encode())
            if held is not _missing:
                content.add(held, f"the global {name!r}")


def _cell(content: Content, name: str, cell: types.CellType) -> None:
    try:
        content.add(cell.cell_contents, f"the outer variable {name!r}" if name else "")
    except ValueError:  # it has no value yet
        content.mark("empty cell")


def _code(content: Content, code: types.CodeType) -> None:
    content.mark("code")
    used = code_uses.uses(code)
    content.mentions.update(used.mentions, used.texts)
    for part in code_object.parts(code):
        content.add(part)


def _class(content: Content, cls: type[object]) -> None:
    content.mark("class", cls.__qualname__.encode())
    with content.at(f"class {cls.__qualname__}"):
        content.add(cls.__bases__)
        content.add(type(cls))
        for name, held in sorted(vars(cls).items()):
            if name not in _NOT_CONTENT and (held or name != "__annotations__"):
                content.mark("member", name.encode())
                content.add(held, name)


def _module(content: Content, module: types.ModuleType) -> None:
    if not user_modules.is_own(module):
        content.modules.add(module.__name__.partition(".")[0])
        return content.mark("module", module.__name__.encode())
    own_modules(content, {module.__name__})
    for name, held in _settings(module):
        content.mark("setting", name.encode())
        content.add(held, f"{module.__name__}.{name}")
    return None


def own_modules(content: Content, names: set[str] | frozenset[str]) -> None:
    """The executed text of those of these modules that are the user's own, and of the own modules
    that these import.
    """
    try:
        found = user_modules.collect(sorted(names))
    except CannotSend as trouble:
        raise content.refuse(f"needs a module of yours: {trouble}") from trouble
    for source in found:
        content.mark("source", source.name.encode())
        content.sources.append(source.source)
        try:
            code = compile(source.source, f"<{source.name}>", "exec", dont_inherit=True)
            _unread(content, code)
        except (SyntaxError, ValueError):
            content.mark("text", source.source.encode(errors="surrogatepass"))
        content.modules.update(
            name.partition(".")[0] for name in _imported(source.source, source.name)
        )


def _unread(content: Content, code: types.CodeType) -> None:
    """What it mentions counts only where it is reached (`reached_names`)."""
    mentions, content.mentions = content.mentions, set[str]()
    content.add(code)
    content.mentions = mentions


def _imported(source: str, name: str) -> Iterator[str]:
    try:
        yield from code_uses.uses(compile(source, f"<{name}>", "exec", dont_inherit=True)).imports
    except (SyntaxError, ValueError):
        return


def _settings(module: types.ModuleType) -> list[tuple[str, object]]:
    """Plain public values: a cell may have set them."""
    plain = bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset
    return [
        (name, held)
        for name, held in sorted(vars(module).items())
        if not name.startswith("_") and type(held) in plain
    ]

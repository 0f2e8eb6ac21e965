"""What has a meaning in one process alone, and is named once in a kernel when a cell uses it:
caches of functions, `id()`, `hash()` of text, secrets in the environment.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any, cast

from mecapy_jupyter.capture import parts
from mecapy_jupyter.travel.environment import logging_records
from mecapy_jupyter.travel.pickling import function_caches, payload

_said: set[str] = set()


def remarks(packed: payload.Packed, source: str, values: Mapping[str, object]) -> list[str]:
    """What to report of these inputs and this cell; nothing is reported twice."""
    return [
        *_caches(packed),
        *_log_buffers(packed, values),
        *_keyed_by_id(packed, values),
        *_hashes(packed, source),
        *_secrets(packed),
    ]


def caches_left(names: Iterable[str]) -> list[str]:
    """Remarks, once each, on caches that a cell filled on the worker."""
    return [
        f"the cache of `{name}` did not come home: its results are computed again here; to keep "
        "results, put them into a dict"
        for name in _new_caches(names)
    ]


def _caches(packed: payload.Packed) -> list[str]:
    """Remarks, once each, on caches with results here."""
    modules = (source["name"] for source in packed.prelude["modules"])
    return [
        (
            f"the cache of `{name}` stays here: the cell computes its results again, and "
            "what it caches is lost when it ends; to keep results, put them into a dict"
        )
        for name in _new_caches(function_caches.filled(packed.memo.values(), modules))
    ]


def _new_caches(names: Iterable[str]) -> list[str]:
    new = [name for name in names if f"cache of {name}" not in _said]
    _said.update(f"cache of {name}" for name in new)
    return new


def _log_buffers(packed: payload.Packed, values: Mapping[str, object]) -> list[str]:
    """Reports once a text in memory that the cell has and that a log handler fills."""
    if not (streams := logging_records.buffers()):
        return []
    numbered = {id(one) for one in packed.memo.values()}
    names = [parts.path_to(one, values) for one in streams if id(one) in numbered]
    found = next((name for name, one in values.items() if any(one is s for s in streams)), "")
    if "log" in _said or not names:
        return []
    _said.add("log")
    return [
        f"{f'`{found or names[0]}`'} does not change while the cell runs: its log messages wait in "
        "the pool and reach their handlers here when it ends; read it in a later cell"
    ]


_LEAST_ID = 1 << 32
"""No smaller number is the address of an object."""


def _keyed_by_id(packed: payload.Packed, values: Mapping[str, object]) -> list[str]:
    """Reports once a dict whose keys are the `id()` of objects that travel."""
    dicts: list[dict[Any, Any]] = [
        cast(Any, obj) for obj in packed.memo.values() if type(obj) is dict
    ]
    keyed = [one for one in dicts if type(key := next(iter(one), 0)) is int and key >= _LEAST_ID]
    if not keyed or "id" in _said:
        return []
    by_id = {id(obj): obj for obj in packed.memo.values()}
    lost = [one for one in keyed if by_id.keys() & one.keys() and not _is_registry(one, by_id)]
    if not lost:
        return []
    _said.add("id")
    names = (name for name, value in values.items() if value is lost[0])
    name = next(names, "") or parts.path_to(lost[0], values)
    return [
        f"{f'`{name}`' if name else 'a dict'} has the `id()` of objects as its keys, and `id()` "
        "changes on the pool, so the cell cannot find them there; use the objects as keys, or "
        "`weakref.WeakKeyDictionary`"
    ]


def _is_registry(keyed: dict[Any, Any], by_id: dict[int, object]) -> bool:
    """Whether it leads from `id` to the object itself, of a library: `_parents` of matplotlib's
    transforms, for one, which it writes anew.
    """
    return all(by_id.get(key) is one for key, one in keyed.items()) and not any(
        type(one).__module__ == "__main__" for one in keyed.values()
    )


def _hashes(packed: payload.Packed, source: str) -> list[str]:
    if "hash" in _said or not any(_calls_hash(code) for code in _codes(packed, source)):
        return []
    _said.add("hash")
    return [
        "the cell calls `hash()`: for text and bytes the number changes with each process, so it "
        "cannot be the one from here; use `zlib.crc32` or `hashlib` for numbers that you keep"
    ]


def _secrets(packed: payload.Packed) -> list[str]:
    """Reports once each variable of the environment that the cell names and does not get."""
    around: dict[str, str | None] = packed.prelude["surroundings"]
    names = [name for name, text in around.items() if text is None]
    new = [name for name in names if f"environment {name}" not in _said]
    _said.update(f"environment {name}" for name in new)
    return [
        f"the environment variable {name} stays here, because it looks like a secret; if the cell "
        f"needs it, set it from a notebook variable: `os.environ[{name!r}] = key`"
        for name in new
    ]


def _codes(packed: payload.Packed, source: str) -> Iterator[CodeType]:
    with suppress(SyntaxError):  # a `return` outside a function, for one: the worker shows it
        yield compile(source, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    functions: list[Any] = [one for one in packed.memo.values() if type(one) is FunctionType]
    yield from (cast(CodeType, function.__code__) for function in functions)


def _calls_hash(code: CodeType) -> bool:
    """Or anything defined in it; a `__hash__` stays within its process."""
    if code.co_name == "__hash__":
        return False
    loads = "hash" in code.co_names and any(
        step.argval == "hash" and step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
        for step in dis.get_instructions(code)
    )
    return loads or any(_calls_hash(one) for one in code.co_consts if isinstance(one, CodeType))

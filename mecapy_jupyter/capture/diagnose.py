"""Explains why a variable cannot travel, naming the part and what to do; and estimates the size of
a variable. Runs no code of the value except what pickling runs, and the search is bounded.
"""

from __future__ import annotations

import functools
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from itertools import islice
from typing import Any, cast

from mecapy_jupyter.capture.parts import Part, attributes, parts, reduced
from mecapy_jupyter.capture.unpicklable import UnpicklableKind, kind_of
from mecapy_jupyter.shared import units
from mecapy_jupyter.shared.errors import CannotSend, MecapyError
from mecapy_jupyter.travel.environment import user_modules
from mecapy_jupyter.travel.pickling import payload
from mecapy_jupyter.travel.pickling.deep_pickler import is_too_deep

Pickle = Callable[[object], object]
"""Pickles a value as it would be sent, and raises what pickling raises."""

SEND_BYTES = 1_000_000_000
"""A larger variable is not sent; the cell should create it."""

_SEARCH_S, _ATTEMPTS, _DEPTH, _CHUNK = 3.0, 600, 40, 8
_WALK_ITEMS, _SAMPLE = 20_000, 500
_TEXTS = (bytes, bytearray, str)
_CONTAINERS = (dict, list, tuple, set, frozenset)
_SENT_BY_NAME = (type, types.ModuleType, Future)


def trouble(value: object, name: str, pickler: Pickle) -> str:
    """Why `value` cannot travel; empty if it can. Errors of MecaPy pass through."""
    return "" if _failure(value, pickler) is None else why(value, name, pickler)


def why(value: object, name: str, pickler: Pickle) -> str:
    """One sentence about a value that cannot be pickled: the path to the part, its kind, what to
    do.
    """
    search = _Search(pickler)
    path, part, kind, failure = search.find(value, name)
    if kind is None and is_too_deep(failure):
        kind = UnpicklableKind("nested too deeply", "flatten it, or build it inside the cell")
    if kind is None and isinstance(failure, MemoryError):
        kind = UnpicklableKind(
            "too large to be packed in this machine's memory",
            "send a part of it, or make it inside the cell",
        )
    of = type(part)
    named = (
        of.__qualname__
        if of.__module__ in ("builtins", "__main__")
        else f"{of.__module__}.{of.__qualname__}"
    )
    if kind is None:
        kind = UnpicklableKind(
            f"an object that cannot be pickled ({str(failure)[:200]!r})",
            "build it inside the cell, or send the data it is made of",
        )
    if search.library is not None:  # nobody can remove a part of it
        whole = search.library.__qualname__
        todo = f"build the {whole} inside the cell, and keep its numbers or arrays"
        kind = UnpicklableKind(kind.what, todo)
    subject = "it" if path == name else f"`{path}`"
    return (
        f"the variable `{name}` cannot travel to the worker: {subject} is {kind.what} (type "
        f"{named}); {kind.advice}"
    )


def can_travel(value: object, namespace: dict[str, Any]) -> bool:
    """Whether pickling works; for a caller that sends everything it can."""
    return bool(travelling({"": value}, namespace))


def travelling(values: Mapping[str, object], namespace: dict[str, Any]) -> set[str]:
    """The names of those that can travel. All are tried at once, and by halves where one cannot."""
    try:
        payload.pack(list(values.values()), namespace)
    except Exception:
        names = list(values)
        halves = (names[: len(names) // 2], names[len(names) // 2 :]) if len(names) > 1 else ()
        tried = ({name: values[name] for name in half} for half in halves)
        return set[str]().union(*(travelling(half, namespace) for half in tried))
    return set(values)


def _failure(value: object, pickler: Pickle) -> Exception | None:
    try:
        pickler(value)
    except MecapyError:
        raise
    except Exception as failure:
        return failure
    return None


class _Search:
    """Descends from a failing value into its first failing part until no part fails. Bounded in
    time and attempts.
    """

    def __init__(self, pickler: Pickle) -> None:
        self._pickler, self._attempts, self._end = pickler, _ATTEMPTS, time.monotonic() + _SEARCH_S
        self._on_path = set[int]()
        self.library: type | None = None
        """The name of the first object on the path that belongs to a package and has the part as an
        attribute.
        """

    def find(
        self, value: object, path: str
    ) -> tuple[str, object, UnpicklableKind | None, Exception | None]:
        failure = _failure(value, self._pickler)
        for _ in range(_DEPTH):
            self._on_path.add(id(value))
            if (kind := kind_of(value)) is not None:
                return path, value, kind, failure
            step = self._failing(parts(value)) or self._failing(reduced(value))
            if step is None:
                break
            label, part, failure = step
            if self.library is None and label[1:].isidentifier() and _of_a_package(value):
                self.library = type(value)
            path, value = path + label, part
        return path, value, kind_of(value), failure

    def _failing(self, candidates: Iterator[Part]) -> tuple[str, object, Exception | None] | None:
        """The first failing part. Parts are tried together first, so that a long list costs few
        attempts.
        """
        chunk_size, new = _CHUNK, (part for part in candidates if id(part[1]) not in self._on_path)
        while chunk := list(islice(new, chunk_size)):
            if (
                self._try([part for _, part in chunk]) is not None
                and (found := self._within(chunk)) is not None
            ):
                return found
            if self._spent():
                return None
            chunk_size *= 4
        return None

    def _within(self, chunk: list[Part]) -> tuple[str, object, Exception | None] | None:
        while len(chunk) > 1 and not self._spent():
            half = chunk[: len(chunk) // 2]
            chunk = (
                half
                if self._try([part for _, part in half]) is not None
                else chunk[len(chunk) // 2 :]
            )
        label, part = chunk[0]
        failure = self._try(part)
        return (label, part, failure) if failure is not None else None

    def _try(self, value: object) -> Exception | None:
        self._attempts -= 1
        return _failure(value, self._pickler)

    def _spent(self) -> bool:
        return self._attempts <= 0 or time.monotonic() > self._end


def check_sizes(values: Mapping[str, Any], limit_bytes: int = SEND_BYTES) -> None:
    """Raises CannotSend with the variable's name, before anything too large is pickled."""
    for name, value in values.items():
        size = size_estimate(value)
        if size > limit_bytes:
            raise CannotSend(
                f"the variable `{name}` is about {units.size(size)}, more than the "
                f"{units.size(limit_bytes)} a variable may have "
                "on its way to the worker; make or read it inside the cell, send a part of it, or "
                "name what to send with `-i`"
            )


def size_estimate(value: object) -> int:
    """The approximate size of a value. Looks at a bounded number of parts, and at a sample of a
    long container.
    """
    seen = set[int]()
    total, budget = 0.0, _WALK_ITEMS
    todo: list[tuple[object, float]] = [(value, 1.0)]
    while todo and budget:
        part, weight = todo.pop()
        budget -= 1
        if id(part) in seen or issubclass(type(part), _SENT_BY_NAME):
            continue
        seen.add(id(part))
        try:
            part_bytes = _own_bytes(part)
            total += weight * (part_bytes if part_bytes is not None else _shallow(type(part))(part))
            inside, scale = _sample(part) if part_bytes is None else ([], 1.0)
        except Exception:  # errors of the part's own code do not matter here
            continue
        todo.extend((item, weight * scale) for item in inside)
    return int(total)


def _own_bytes(value: object) -> int | None:
    """The size of data that reports it; None for anything else."""
    kind, known = type(value), cast(Any, value)
    if base := _base(kind, _TEXTS):
        return base.__len__(value)
    # most values of a notebook: no look inside needed
    if value is None or kind in (bool, int, float, complex):
        return sys.getsizeof(value)
    if kind is memoryview:
        return known.nbytes
    # sympy creates classes that have None there
    match str(kind.__module__).partition(".")[0], kind.__name__:
        case "numpy" | "cupy" | "jaxlib" | "torch" | "pyarrow" | "dask", _ if hasattr(
            kind, "nbytes"
        ):
            if not str(getattr(known, "dtype", "")).startswith("object"):
                return int(known.nbytes)
            return None
        case "pandas", "DataFrame":
            return int(known.memory_usage(deep=False).sum())
        case "pandas", _ if hasattr(kind, "nbytes"):
            return int(known.nbytes)
        case "polars", "DataFrame":
            return int(known.estimated_size())
        case _:
            return None


def _sample(value: object) -> tuple[list[object], float]:
    """Parts to look into, and how many each stands for."""
    base: Any = _base(type(value), _CONTAINERS)
    if base is None:
        return [part for _, part in islice(attributes(value), _SAMPLE)], 1.0
    walk: Any = getattr(base, "values", None) or base.__iter__
    taken: list[object] = list(islice(walk(value), _SAMPLE))
    return taken, max(1.0, base.__len__(value) / max(1, len(taken)))


@functools.lru_cache(maxsize=4096)
def _shallow(kind: type) -> Callable[[object], int]:
    """The size of an object without its content, without code of its own, which may change it, as a
    mock's does.
    """
    found = next(vars(one)["__sizeof__"] for one in kind.__mro__ if "__sizeof__" in vars(one))
    return found if isinstance(found, types.MethodDescriptorType) else object.__sizeof__


def _of_a_package(value: object) -> bool:
    module = str(type(value).__module__)
    loaded = sys.modules.get(module)
    standard = module.partition(".")[0] in sys.stdlib_module_names | {"__main__"}
    return not standard and loaded is not None and not user_modules.is_own(loaded)


def _base(kind: type, bases: Iterable[type]) -> Any:
    """The first of these among a type's bases, whose functions call no code of the value."""
    return next((one for one in bases if issubclass(kind, one)), None)

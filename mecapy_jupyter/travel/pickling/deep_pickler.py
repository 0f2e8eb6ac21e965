"""Pickles a graph of any depth: a chain of 100,000 objects, a mesh whose nodes name their
neighbours.

pickle follows each reference with a call in C, and the stack of C ends. Here the graph is followed
first, without recursion, and written as a list of steps: each object is made before what it holds,
and filled after that, in the order in which pickle does both. What a step refers to is then in the
pickler's memo already, so that no step leads deeper than one object.
"""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import cloudpickle

from mecapy_jupyter.travel.pickling.pickler import ResultPickler

_LEAVES: Any = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, type, pickle.PickleBuffer}
)
_FILLED: tuple[Any, ...] = (list, dict, set)
_SAFE_LIMIT = 10_000
"""With a recursion limit from here on, Python 3.11 ends the stack of C before it says so."""

Step = tuple[bool, Any]
"""Whether its parts are done, and the object, or its `_Fill`."""


def is_too_deep(error: BaseException | None) -> bool:
    """Whether pickling failed by the depth of what it was given."""
    return isinstance(error, RecursionError) or isinstance(
        error and error.__cause__, RecursionError
    )


@contextmanager
def limited_recursion() -> Generator[None]:
    """Keeps a recursion limit that the notebook has raised from pickling in C: until Python 3.12 C
    is held by it, too, and 1,000,000 would end the process.
    """
    limit = sys.getrecursionlimit()
    lowered = sys.version_info < (3, 12) and limit > _SAFE_LIMIT
    if lowered:
        sys.setrecursionlimit(_SAFE_LIMIT)
    try:
        yield
    finally:
        if lowered:
            sys.setrecursionlimit(limit)


class _Fill:
    """Gives an object that was made what it holds."""

    def __init__(
        self,
        obj: object,
        state: Any = None,
        items: list[Any] | None = None,
        entries: list[Any] | None = None,
        setter: Any = None,
    ) -> None:
        self._all = obj, state, items, entries, setter

    def __reduce__(self) -> tuple[Any, ...]:
        obj, state, items, entries, setter = self._all
        if type(obj) is set:
            return _add, (obj, items)
        return (
            _itself,
            (obj,),
            state,
            None if items is None else iter(items),
            None if entries is None else iter(entries),
            *([setter] if setter else []),
        )

    def parts(self) -> Iterator[Any]:
        _, state, items, entries, setter = self._all
        yield from _of_state(state)
        yield from items or ()
        for pair in entries or ():
            yield from pair
        yield setter


class _Steps:
    """All steps, and the value they lead to."""

    def __init__(self, steps: list[Any], value: object) -> None:
        self._all = steps, value

    def __reduce__(self) -> tuple[Any, ...]:
        return _last, self._all


class DeepPickler(ResultPickler):
    """Writes what `ResultPickler` writes, deep or not. Several times slower."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._empty: dict[int, Any] = {}
        """For each list, dict and set that is filled later an empty one: the other side's own."""
        self._made: dict[int, tuple[Any, Any]] = {}
        self._met: dict[int, object] = {}
        self._real: dict[int, object] = {}

    def dump(self, obj: Any) -> None:
        super().dump(_Steps(list(self._steps(obj)), obj))

    def numbered(self) -> list[object]:
        ours = _Fill, _Steps
        real = [self._real.get(id(obj), obj) for obj in super().numbered()]
        for kept in (self._empty, self._made, self._met, self._real):
            kept.clear()
        return [None if isinstance(obj, ours) else obj for obj in real]

    def persistent_id(self, obj: Any) -> Any:
        number = super().persistent_id(obj)
        return self._empty.get(id(obj)) if number is None else number

    def reducer_override(self, obj: Any) -> Any:
        return self._made.get(id(obj)) or super().reducer_override(obj)

    def _steps(self, root: object) -> Iterator[Any]:
        waiting: list[Step] = [(False, root)]
        while waiting:
            done, obj = waiting.pop()
            if done:
                yield obj
                continue
            kind = cast("type[Any]", type(obj))
            if kind in _LEAVES or id(obj) in self._met or id(obj) in self.known:
                continue
            self._met[id(obj)] = obj
            if kind in _FILLED:
                yield from self._container(kind, obj, waiting)
            elif kind in (tuple, frozenset):
                _push(waiting, [(True, obj)], obj)
            else:
                self._object(kind, obj, waiting)

    def _container(self, kind: Any, obj: Any, waiting: list[Step]) -> Iterator[Any]:
        """Made at once, and filled when its parts are there."""
        parts = [*obj, *obj.values()] if kind is dict else [*obj]
        if all(type(part) in _LEAVES for part in parts):
            return
        empty = self._empty[id(obj)] = cast(Any, kind())
        self._real[id(empty)] = obj
        fill = _Fill(obj, None, None, [*obj.items()]) if kind is dict else _Fill(obj, None, [*obj])
        _push(waiting, [(True, fill)], parts)
        yield obj

    def _object(self, kind: Any, obj: Any, waiting: list[Step]) -> None:
        """First what it is made of, then the object, then what it holds."""
        taken: Any = self._taken_apart(kind, obj)
        if isinstance(taken, str):
            return
        make, arguments, *rest = taken
        state, items, entries, setter = (*rest, *[None] * (4 - len(rest)))
        self._made[id(obj)] = make, arguments
        if rest.count(None) < len(rest):
            fill = _Fill(obj, state, _all(items), _all(entries), setter)
            _push(waiting, [(True, fill)], fill.parts())
        _push(waiting, [(True, obj)], (make, *arguments))

    def _taken_apart(self, kind: Any, obj: Any) -> Any:
        """As pickle does it in C."""
        taken = super().reducer_override(obj)
        if taken is not NotImplemented:
            return taken
        if issubclass(kind, type) or kind is types.FunctionType:  # by name
            return ""
        table: Any = cast(Any, cloudpickle).Pickler.dispatch_table
        how: Callable[[Any], Any] | None = table.get(kind)
        return how(obj) if how else obj.__reduce_ex__(5)


def _push(waiting: list[Step], last: list[Step], parts: Iterable[Any]) -> None:
    """So that the parts come in their order, and then what is last."""
    waiting += last
    waiting += [(False, part) for part in reversed([*parts])]


def _all(parts: Iterable[Any] | None) -> list[Any] | None:
    return None if parts is None else list(parts)


def _of_state(state: Any) -> Iterator[Any]:
    """What a state is made of: itself, or its parts where it is written in one with its object."""
    both: tuple[Any, ...] = cast(Any, state) if type(state) is tuple else (state,)
    for part in both:
        if type(part) is dict:
            yield from part
            yield from part.values()
        else:
            yield part


def _itself(obj: object) -> object:
    return obj


def _add(obj: set[Any], items: list[Any]) -> set[Any]:
    obj.update(items)
    return obj


def _last(_steps: list[Any], value: object) -> object:
    return value

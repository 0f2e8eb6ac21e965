"""Pickles a graph of any depth, such as a chain of 100,000 objects or a mesh.

pickle follows each reference with a call in C, whose stack is limited. Here the graph is followed
first, without recursion, and written as a list of steps: each object is created before its parts
and filled after them, in pickle's order. Everything that a step refers to is then in the pickler's
memo, so no step goes deeper than one object.
"""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from mecapy_jupyter.travel.hooks import pickles
from mecapy_jupyter.travel.pickling.pickler import ResultPickler

_LEAVES: Any = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, type, pickle.PickleBuffer}
)
_FILLED: tuple[Any, ...] = (list, dict, set)
_SAFE_LIMIT = 10_000
"""With a higher recursion limit, Python 3.11 exhausts the C stack before it raises."""

Step = tuple[bool, Any]
"""Whether its parts are done; and the object, or its `_Fill`."""


def is_too_deep(error: BaseException | None) -> bool:
    """Whether pickling failed because of depth."""
    return isinstance(error, RecursionError) or isinstance(
        error and error.__cause__, RecursionError
    )


@contextmanager
def limited_recursion() -> Generator[None]:
    """Hides a recursion limit that the notebook raised from pickling in C: until Python 3.12 it
    also bounds C, and 1,000,000 would crash the process.
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
    """Fills an object that was created."""

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
    """All steps, and the resulting value."""

    def __init__(self, steps: list[Any], value: object) -> None:
        self._all = steps, value

    def __reduce__(self) -> tuple[Any, ...]:
        return _last, self._all


class DeepPickler(ResultPickler):
    """Pickles like `ResultPickler`, at any depth. Several times slower."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._empty: dict[int, Any] = {}
        """An empty container for each list, dict and set that is filled later."""
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
        """Created at once, and filled when its parts are ready."""
        parts = [*obj, *obj.values()] if kind is dict else [*obj]
        if all(type(part) in _LEAVES for part in parts):
            return
        empty = self._empty[id(obj)] = cast(Any, kind())
        self._real[id(empty)] = obj
        fill = _Fill(obj, None, None, [*obj.items()]) if kind is dict else _Fill(obj, None, [*obj])
        _push(waiting, [(True, fill)], parts)
        yield obj

    def _object(self, kind: Any, obj: Any, waiting: list[Step]) -> None:
        """First the arguments of its creation, then the object, then its content."""
        taken: Any = self._taken_apart(kind, obj)
        if isinstance(taken, str):
            return
        make, arguments, *content = taken
        self._made[id(obj)] = make, arguments
        if content.count(None) < len(content):
            fill = _Fill(obj, *content)
            _push(waiting, [(True, fill)], fill.parts())
        _push(waiting, [(True, obj)], (make, *arguments))

    def _taken_apart(self, kind: Any, obj: Any) -> Any:
        """The parts, as pickle in C takes them."""
        taken = super().reducer_override(obj)
        if taken is not NotImplemented:
            return pickles.filled(taken)
        if issubclass(kind, type) or kind is types.FunctionType:  # by name
            return ""
        return pickles.taken_apart(obj)


def _push(waiting: list[Step], last: list[Step], parts: Iterable[Any]) -> None:
    """So that the parts come in their order, followed by `last`."""
    waiting += last
    waiting += [(False, part) for part in reversed([*parts])]


def _of_state(state: Any) -> Iterator[Any]:
    """The parts of a state: the state itself, or its parts if it is written with its object."""
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

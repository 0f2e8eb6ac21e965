"""The content of all objects of one type, held in one way (a facet of `shapes`), as a flat list of
tokens. One list for many objects keeps the cost of 300,000 objects at a few bytes per part.
"""

from __future__ import annotations

import itertools
import types
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mecapy_jupyter.travel.changes import shapes, tokens
from mecapy_jupyter.travel.changes.tokens import Tokens
from mecapy_jupyter.travel.hooks import abstract_classes
from mecapy_jupyter.travel.pickling import array_views


class GONE:
    """Stands for an attribute that has no value."""


@dataclass(slots=True)
class Look:
    """The parts of the first object end at `ends[0]`, of the second at `ends[1]`, and so on.
    `names`: one for each part that is held by name; otherwise empty.
    """

    parts: list[Any] = field(default_factory=list[Any])
    ends: array[int] = field(default_factory=lambda: array("q"))
    names: list[Any] = field(default_factory=list[Any])

    def span(self, position: int) -> slice:
        """The range of parts of an object."""
        return slice(self.ends[position - 1] if position else 0, self.ends[position])


def look(facet: str, cls: Any, objects: Sequence[Any], numbered: Collection[int]) -> Look:
    """The current content of each of these objects of one type."""
    if facet == "slots":
        return _slots(cls, objects)
    if facet == "attributes":
        of_all = map(object.__getattribute__, objects, itertools.repeat("__dict__"))
        return _entries(dict, list(cast("Iterable[Any]", of_all)))
    if facet == "dict":
        return _entries(OrderedDict if issubclass(cls, OrderedDict) else dict, objects)
    if facet in _ITEMS:
        base = _ITEMS[facet]
        return Look(_chained(map(base.__iter__, objects)), _ends(map(base.__len__, objects)))
    found = Look()
    for obj in objects:
        if facet in _NAMED:
            named = _NAMED[facet](obj)
            found.names.extend(named)
            found.parts.extend(named.values())
        else:
            parts = _reduced(obj, numbered)[0] if facet == "reduced" else _PARTS[facet](obj)
            found.parts.extend(parts)
        found.ends.append(len(found.parts))
    return found


def _chained(parts: Iterable[Iterable[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(parts))


def _ends(lengths: Iterable[int]) -> array[int]:
    return array("q", itertools.accumulate(lengths))


def _entries(base: Any, objects: Sequence[Any]) -> Look:
    parts, names = map(base.values, objects), map(base.keys, objects)
    return Look(_chained(parts), _ends(map(base.__len__, objects)), _chained(names))


def _slots(cls: Any, objects: Sequence[Any]) -> Look:
    """The slots of all objects, slot by slot, if every object has all of them."""
    columns: list[list[Any]] = []
    every = shapes.slots(cls)
    for name, slot in every.items():
        get = cast("Callable[[Any], Any]", slot.__get__)
        try:
            columns.append(list(map(get, objects)))
        except (AttributeError, TypeError):  # no value, or the cell has set its `__class__`
            columns.append([_of_slot(get, obj, name) for obj in objects])
    width = len(columns)
    ends = array("q", range(width, width * len(objects) + 1, width))
    return Look(_chained(zip(*columns, strict=True)), ends, list(every) * len(objects))


def _of_slot(get: Callable[[Any], Any], obj: Any, name: str) -> Any:
    try:
        return get(obj)
    except AttributeError:
        return GONE
    except TypeError:
        return getattr(obj, name, GONE)


def by_reduction(obj: Any, numbered: Collection[int]) -> tuple[list[Any], Any]:
    """The tokens of an object with its own pickling, and the pieces that it returned."""
    return _reduced(obj, numbered)[:2]


def inside(obj: Any, numbered: Collection[int]) -> list[object]:
    """The parts that travelled by themselves but still belong to this object."""
    return _reduced(obj, numbered)[2]


def _reduced(obj: Any, numbered: Collection[int]) -> tuple[list[Any], Any, list[object]]:
    """First how the object is made, then its state: by name ("named") or whole ("state")."""
    looking = Tokens(numbered, whole=tokens.is_table(cast("type[Any]", type(obj))))
    try:
        taken = tokens.reduction(obj, named=False)
        if isinstance(taken, str):
            return ["one", None], taken, []
        make, arguments, state, *rest = taken
        made = tokens.Made((looking.of(make), *map(looking.of, arguments)))
        named = by_name(state) if rest == [None, None, None] else None
        if named is None:
            return [made, "state", *map(looking.of, (state, *rest))], taken, looking.inside
        told = ["named", *named, *map(looking.of, named.values())]
        return [made, *told], taken, looking.inside
    except Exception as error:  # a class or object with code of its own: compared by content
        held = shapes.attributes(obj)
        return [None, "raw", *held, *held.values()], error, []


def by_name(state: object) -> dict[str, Any] | None:
    """A state in pickle's sense (a dict, or a pair with the slots' dict) as one dict; None for
    anything else.
    """
    both = cast("tuple[Any, ...]", state) if isinstance(state, tuple) else (state,)
    if len(both) > 2 or not all(part is None or type(part) is dict for part in both):
        return None
    named: dict[str, Any] = {}
    for part in both:
        named |= cast("dict[str, Any] | None", part) or {}
    return named


def changed_names(before: Mapping[Any, Any], now: Mapping[Any, Any]) -> dict[Any, Any]:
    """The names with different tokens, and these tokens."""
    found = {n: t for n, t in now.items() if n not in before or not tokens.same(before[n], t)}
    return found | dict.fromkeys(before.keys() - now.keys(), GONE)


def paired(parts: list[Any]) -> dict[Any, Any]:
    """A list of names followed by their tokens, as a dict."""
    half = len(parts) // 2
    return dict(zip(parts[:half], parts[half:], strict=True))


def _of_cell(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not bound
        return []


_FUNCTION = ("__code__", "__defaults__", "__kwdefaults__", "__name__", "__qualname__", "__doc__")
_CLASS = ("__name__", "__qualname__", "__doc__")


def _of_function(function: Any) -> dict[str, Any]:
    return {name: getattr(function, name) for name in _FUNCTION}


_METHODS = (types.FunctionType, staticmethod, classmethod, property)
"""Types of values that the user may have written under names with two underscores.
"""


def _of_class(cls: type) -> dict[str, Any]:
    slots = shapes.slots(cls)
    return {name: type.__getattribute__(cls, name) for name in _CLASS} | {
        name: value
        for name, value in vars(cls).items()
        if (not (name.startswith("__") and name.endswith("__")) or type(value) in _METHODS)
        and name != "_abc_impl"
        and slots.get(name) is not value
    }


def _of_members(cls: Any) -> dict[tuple[str, str], Any]:
    """The attributes that the members of an enumeration have beside their names and values."""
    members: dict[str, Any] = cls.__members__
    held: dict[str, dict[str, Any]] = {name: {**vars(each)} for name, each in members.items()}
    return {
        (name, attribute): value
        for name, attributes in held.items()
        for attribute, value in attributes.items()
        if not (attribute.startswith("_") and attribute.endswith("_"))
    }


_ITEMS: dict[str, Any] = {"list": list, "set": set, "deque": deque}
_NAMED: dict[str, Callable[[Any], dict[Any, Any]]] = {
    "function": _of_function,
    "class": _of_class,
    "members": _of_members,
}
_DEFAULT_FACTORY: Any = vars(defaultdict)["default_factory"]
"""Reads `__dict__` even if a subclass has an attribute of that name."""
_PARTS: dict[str, Callable[[Any], Iterable[Any]]] = {
    "buffer": lambda obj: (tokens.of_bytes(memoryview(obj)),),
    "array": lambda obj: (tokens.of_array(obj),),
    "row": lambda obj: (tokens.of_array(array_views.of_row(obj)),),
    "factory": lambda obj: (_DEFAULT_FACTORY.__get__(obj),),
    "names": lambda dtype: dtype.names or (),
    "cell": _of_cell,
    "registry": abstract_classes.registered,
}

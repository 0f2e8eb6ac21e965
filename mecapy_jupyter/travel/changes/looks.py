"""What objects of one type hold in one way (a facet of `shapes`), as one flat list of tokens.

One list for many objects, and no object of its own for each: a look at 300,000 objects costs a
few bytes for each thing they hold.
"""

from __future__ import annotations

import itertools
import types
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mecapy_jupyter.travel.changes import shapes, tokens
from mecapy_jupyter.travel.changes.tokens import Tokens
from mecapy_jupyter.travel.hooks import abstract_classes


class GONE:
    """In the place of the value of an attribute that is not there."""


@dataclass(slots=True)
class Look:
    """`parts` of the first object end at `ends[0]`, of the second at `ends[1]` …"""

    parts: list[Any] = field(default_factory=list[Any])
    ends: array[int] = field(default_factory=lambda: array("q"))

    def slices(self, positions: Iterable[int]) -> Iterable[tuple[int, list[Any]]]:
        ends, parts = self.ends, self.parts
        for position in positions:
            yield position, parts[ends[position - 1] if position else 0 : ends[position]]


def look(facet: str, cls: Any, objects: Sequence[Any], numbered: Collection[int]) -> Look:
    """What each of these objects of one type holds now."""
    found = Look()
    if facet == "slots":
        _slots(found, cls, objects)
    elif facet == "attributes":
        gather, end = found.parts.extend, found.ends.append
        for stored in map(object.__getattribute__, objects, itertools.repeat("__dict__")):
            gather(stored)
            gather(stored.values())
            end(len(found.parts))
    elif facet == "reduced":
        for obj in objects:
            found.parts.extend(_reduced(obj, numbered)[0])
            found.ends.append(len(found.parts))
    else:
        parts_of = _PARTS[facet]
        for obj in objects:
            found.parts.extend(parts_of(obj))
            found.ends.append(len(found.parts))
    return found


def _slots(found: Look, cls: Any, objects: Sequence[Any]) -> None:
    """Slot after slot for all objects at once, where all have all."""
    columns: list[list[Any]] = []
    for slot in shapes.slots(cls).values():
        get = cast("Callable[[Any], Any]", slot.__get__)
        try:
            columns.append(list(map(get, objects)))
        except AttributeError:
            columns.append([_of_slot(get, obj) for obj in objects])
    found.parts = list(itertools.chain.from_iterable(zip(*columns, strict=True)))
    width = len(columns)
    found.ends = array("q", range(width, width * len(objects) + 1, width))


def _of_slot(get: Callable[[Any], Any], obj: Any) -> Any:
    try:
        return get(obj)
    except AttributeError:
        return GONE


def by_reduction(obj: Any, numbered: Collection[int]) -> tuple[list[Any], Any]:
    """The tokens of an object that says itself how it pickles, and what it said."""
    return _reduced(obj, numbered)[:2]


def inside(obj: Any, numbered: Collection[int]) -> list[object]:
    """What travelled by itself and belongs to this object even so."""
    return _reduced(obj, numbered)[2]


def _reduced(obj: Any, numbered: Collection[int]) -> tuple[list[Any], Any, list[object]]:
    """First how it is made, then its state: by name ("named"), or as a whole ("state")."""
    looking = Tokens(numbered, whole=tokens.is_table(cast("type[Any]", type(obj))))
    try:
        taken = tokens.reduction(obj)
        if isinstance(taken, str):
            return ["one", None], taken, []
        make, arguments, state, *rest = taken
        made = tokens.Made((looking.of(make), *map(looking.of, arguments)))
        named = by_name(state) if rest == [None, None, None] else None
        if named is None:
            return [made, "state", *map(looking.of, (state, *rest))], taken, looking.inside
        told = ["named", *named, *map(looking.of, named.values())]
        return [made, *told], taken, looking.inside
    except Exception as error:  # its own code, or what it holds: then by what it holds
        held = shapes.attributes(obj)
        return [None, "raw", *held, *held.values()], error, []


def by_name(state: Any) -> dict[str, Any] | None:
    """A state as pickle understands it, a dict or one for `__dict__` and one for the slots, as one;
    None: something else.
    """
    both = cast("tuple[Any, ...]", state) if isinstance(state, tuple) else (state,)
    if len(both) > 2 or not all(part is None or type(part) is dict for part in both):
        return None
    named: dict[str, Any] = {}
    for part in both:
        named |= part or {}
    return named


def changed_names(before: list[Any], now: list[Any]) -> dict[str, Any]:
    """The names whose tokens differ, and these; both as a look gives them: names, then tokens."""
    were, are = _named(before), _named(now)
    found = {n: t for n, t in are.items() if n not in were or not tokens.same(were[n], t)}
    return found | dict.fromkeys(were.keys() - are.keys(), GONE)


def _named(parts: list[Any]) -> dict[str, Any]:
    half = len(parts) // 2
    return dict(zip(parts[:half], parts[half:], strict=True))


def _of_dict(obj: dict[Any, Any]) -> Iterable[Any]:
    base: Any = OrderedDict if isinstance(obj, OrderedDict) else dict
    return itertools.chain(base.keys(obj), base.values(obj))


def _of_cell(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not bound
        return []


_FUNCTION = ("__code__", "__defaults__", "__kwdefaults__")


def _of_function(function: Any) -> list[Any]:
    return [*_FUNCTION, *(getattr(function, name) for name in _FUNCTION)]


def _of_class(cls: type) -> list[Any]:
    slots = shapes.slots(cls)
    held = {
        name: value
        for name, value in vars(cls).items()
        if not (name.startswith("__") and name.endswith("__"))
        and name != "_abc_impl"
        and slots.get(name) is not value
    }
    return [*held, *held.values()]


_LIST: Any = list
_SET: Any = set
_PARTS: dict[str, Callable[[Any], Iterable[Any]]] = {
    "list": _LIST.__iter__,
    "dict": _of_dict,
    "set": _SET.__iter__,
    "deque": iter,
    "buffer": lambda obj: (tokens.of_bytes(memoryview(obj)),),
    "array": lambda obj: (tokens.of_array(obj),),
    "factory": lambda obj: (defaultdict.default_factory.__get__(obj),),  # pyright: ignore
    "cell": _of_cell,
    "function": _of_function,
    "class": _of_class,
    "registry": abstract_classes.registered,
}

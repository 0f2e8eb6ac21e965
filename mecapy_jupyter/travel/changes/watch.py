"""Which of the objects that travelled hold something else than they held, and what they hold now.

Every object that was pickled has its number, the same on both sides. Each that is alive is looked
at before the cell and after it, shallowly: what it holds stands there as itself where it has a
number of its own. Looks only; it changes nothing and talks to nobody.
"""

from __future__ import annotations

import operator
import types
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from mecapy_jupyter.travel.changes import looks, shapes, tokens
from mecapy_jupyter.travel.changes.looks import Look
from mecapy_jupyter.travel.garbage import uncollected
from mecapy_jupyter.travel.hooks import references


@dataclass(frozen=True, slots=True)
class Changes:
    """What objects hold now, each in one way (`kind`, of which `setters` has one function each).
    The parts of the first of `numbers` end at `ends[0]` …
    """

    kind: str
    numbers: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    parts: list[Any] = field(default_factory=list[Any])

    def add(self, number: int, parts: Iterable[Any]) -> None:
        self.parts.extend(parts)
        self.numbers.append(number)
        self.ends.append(len(self.parts))

    def __iter__(self) -> Iterator[tuple[int, list[Any]]]:
        start = 0
        for number, end in zip(self.numbers, self.ends, strict=True):
            yield number, self.parts[start:end]
            start = end

    def only(self, numbers: Collection[int]) -> Changes:
        """Those of these objects."""
        chosen = Changes(self.kind)
        for number, parts in self:
            if number in numbers:
                chosen.add(number, parts)
        return chosen


@dataclass(slots=True)
class _Group:
    """The objects of one type, looked at in one way."""

    facet: str
    cls: type[Any]
    numbers: array[int] = field(default_factory=lambda: array("q"))
    objects: list[Any] = field(default_factory=list[Any])
    before: Look = field(default_factory=Look)


class Watch:
    """The inputs of one run, by number, and what they held before it."""

    @uncollected()
    def __init__(
        self, memo: Mapping[int, object], variables: Iterable[object], namespace: object = None
    ) -> None:
        """`memo`: as unpickled, or as pickled; `variables`: the values of the input variables,
        watched even when part of a larger object.
        """
        self._held = [(n, obj) for n, obj in references.held(memo) if obj is not namespace]
        numbered = frozenset(id(obj) for _, obj in self._held)
        groups: dict[tuple[str, type[Any]], _Group] = {}
        for number, obj in self._held:
            for facet in shapes.facets(obj):
                key = facet, type(obj)
                group = groups.get(key) or groups.setdefault(key, _Group(*key))
                group.numbers.append(number)
                group.objects.append(obj)
        self._hidden = _hidden(groups.values(), numbered, {id(value) for value in variables})
        self._groups = list(_without(groups.values(), self._hidden))
        for group in self._groups:
            group.before = looks.look(group.facet, group.cls, group.objects, numbered)

    @classmethod
    def of_call(cls, memo: Mapping[int, object]) -> Watch:
        """For a function call: what it returns are copies, even of its arguments, and what it
        changes in them stays where it ran.

        Only what there is one of stays itself: classes, functions (without variables of their own),
        and bare objects that mark something.
        """
        watch = cls({}, ())
        watch._held = [(number, obj) for number, obj in memo.items() if _is_one(obj)]
        return watch

    def known(self) -> dict[int, int]:
        """What stands in a result as its number: id → number."""
        return {id(obj): n for n, obj in self._held if id(obj) not in self._hidden}

    def arrays(self) -> list[object]:
        """Those of them that others may be views of."""
        return [obj for _, obj in self._held if shapes.is_array(type(obj))]

    def objects(self) -> dict[int, object]:
        """All of them, by number."""
        return dict(self._held)

    @uncollected()
    def changed(self) -> list[Changes]:
        """What each object holds that does not hold what it held. The contents are new objects."""
        numbered = frozenset(id(obj) for _, obj in self._held)
        found: dict[str, Changes] = {}
        for group in self._groups:
            now = looks.look(group.facet, group.cls, group.objects, numbered)
            for position, kind, parts in _contents(group, now, numbered):
                changes = found.get(kind) or found.setdefault(kind, Changes(kind))
                changes.add(group.numbers[position], parts)
        return list(found.values())


def _is_one(obj: object) -> bool:
    if type(obj) is types.FunctionType:
        return not obj.__closure__
    return issubclass(type(obj), type) or type(obj) is object


def _hidden(groups: Iterable[_Group], numbered: Collection[int], tops: set[int]) -> set[int]:
    """The memory of tables: it changes with them, and not by itself."""
    return {
        id(part)
        for group in groups
        if group.facet == "reduced" and tokens.is_table(group.cls) and not tokens.belongs(group.cls)
        for obj in group.objects
        for part in looks.inside(obj, numbered)
    } - tops


def _without(groups: Iterable[_Group], hidden: set[int]) -> Iterator[_Group]:
    for group in groups:
        if not hidden or not tokens.belongs(group.cls):
            yield group
            continue
        kept = _Group(group.facet, group.cls)
        for number, obj in zip(group.numbers, group.objects, strict=True):
            if id(obj) not in hidden:
                kept.numbers.append(number)
                kept.objects.append(obj)
        if kept.objects:
            yield kept


def _contents(
    group: _Group, now: Look, numbered: Collection[int]
) -> Iterator[tuple[int, str, Sequence[Any]]]:
    """Of each object of the group that changed: its position, the kind of change, the parts."""
    positions = _differing(group.before, now)
    names = list(shapes.slots(group.cls)) if group.facet == "slots" else []
    before = group.before.slices(positions)
    for (position, were), (_, are) in zip(before, now.slices(positions), strict=True):
        obj = group.objects[position]
        if group.facet == "reduced":
            if (content := _of_reduced(obj, were, are, numbered)) is not None:
                yield position, *content
        elif group.facet in ("attributes", "slots", "function", "class"):
            found = looks.changed_names(names + were, names + are)
            kind = "attributes" if group.facet == "slots" else group.facet
            yield position, kind, [*found, *found.values()]
        elif group.facet == "array":
            yield position, "array", [obj.copy() if obj.dtype.hasobject else obj.view()]
        elif group.facet == "buffer":
            yield position, "buffer", [obj[:]]
        else:
            yield position, group.facet, are


def _differing(before: Look, now: Look) -> list[int]:
    """The positions of the objects whose tokens differ."""
    if before.ends != now.ends:
        every = range(len(now.ends))
        pairs = zip(before.slices(every), now.slices(every), strict=True)
        return [at for (at, were), (_, are) in pairs if not _all_same(were, are)]
    if all(map(operator.is_, before.parts, now.parts)):
        return []
    found, start = list[int](), 0
    for position, end in enumerate(now.ends):
        if not _all_same(before.parts[start:end], now.parts[start:end]):
            found.append(position)
        start = end
    return found


def _all_same(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and (
        all(map(operator.is_, before, now)) or all(map(tokens.same, before, now))
    )


def _of_reduced(
    obj: Any, before: list[Any], now: list[Any], numbered: Collection[int]
) -> tuple[str, Sequence[Any]] | None:
    """What has to be done at home to an object that says itself how it pickles."""
    again, taken = looks.by_reduction(obj, numbered)
    sets_itself = hasattr(cast(Any, type(obj)), "__setstate__")
    if issubclass(type(taken), Exception):
        if sets_itself:
            return "state", [tokens.Unsendable(taken)]
        now = now if now[1] == "raw" else [None, "raw", *(again[2:])]
    elif not tokens.same(before[0], now[0]) and tokens.same(now[0], again[0]):
        return "made", taken
    if before[1] != now[1] or now[1] == "state":
        return "state", taken[2:]
    found = looks.changed_names(before[2:], now[2:])
    moving = looks.changed_names(now[2:], again[2:])  # a look moves them: a counter, no state
    names = [name for name in found if name not in moving]
    if not names:
        return None
    if sets_itself and now[1] == "named":
        return "state", taken[2:]
    held = shapes.attributes(obj) if now[1] == "raw" else looks.by_name(taken[2]) or {}
    return "attributes", [*names, *(held.get(name, looks.GONE) for name in names)]

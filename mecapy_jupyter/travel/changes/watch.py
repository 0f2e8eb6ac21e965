"""Finds which of the objects that travelled have changed, and how.

Each pickled object has a number, equal on both sides. Each live object is looked at before and
after the cell, shallowly: a part with its own number counts as itself. This module only looks.
"""

from __future__ import annotations

import itertools
import operator
import types
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from mecapy_jupyter.travel.changes import groups, looks, shapes, tokens
from mecapy_jupyter.travel.changes.changes import Changes
from mecapy_jupyter.travel.changes.groups import Group
from mecapy_jupyter.travel.changes.looks import Look
from mecapy_jupyter.travel.environment import module_importer
from mecapy_jupyter.travel.garbage import uncollected
from mecapy_jupyter.travel.hooks import references
from mecapy_jupyter.travel.pickling import array_subclasses, constants

_COLUMNS = {"attributes": "attributes", "slots": "attributes", "dict": "entries"}
"""Content that is held by name, and the kind of its changes."""

_MOST_COLUMNS = 64

_Found = dict[tuple[Any, ...], Changes]
"""Changes by kind and column."""


class Watch:
    """The inputs of one run by number, and their content before it."""

    @uncollected()
    def __init__(
        self, memo: Mapping[int, object], variables: Iterable[object], namespace: object = None
    ) -> None:
        """`memo`: of the unpickler or the pickler; `variables`: values of the input variables,
        which are watched even inside a larger object.
        """
        spaces = {id(namespace), *map(id, module_importer.namespaces())}
        self._held = [(n, obj) for n, obj in references.held(memo) if id(obj) not in spaces]
        self._numbered = frozenset(id(obj) for _, obj in self._held)
        tops = {id(value) for value in variables}
        self._groups, self._hidden = groups.watched(self._held, self._numbered, tops)

    @classmethod
    def of_call(cls, memo: Mapping[int, object]) -> Watch:
        """A watch for a function call: results are copies, even of arguments, and changes of
        arguments stay on the worker. Only singletons keep their identity: classes, functions
        without closure, and bare marker objects.
        """
        watch = cls({}, ())
        watch._held = [(number, obj) for number, obj in memo.items() if _is_one(obj)]
        return watch

    def known(self) -> dict[int, int]:
        """Objects that a result names by number: id → number."""
        known = {id(obj): number for number, obj in self._held}
        for hidden in self._hidden:
            known.pop(hidden, None)
        for number, value in constants.fixed().items():
            known.setdefault(id(value), number)
        return known

    def arrays(self) -> list[object]:
        """Those of them of which other objects may be views."""
        return [obj for _, obj in self._held if shapes.is_array(type(obj))]

    def objects(self) -> dict[int, object]:
        """All of them, by number."""
        return dict(self._held)

    @uncollected()
    def changed(self) -> list[Changes]:
        """The content of each object that has changed. The containers are new objects."""
        found: _Found = {}
        for group in self._groups:
            now = looks.look(group.facet, group.cls, group.objects, self._numbered)
            _note(found, group, now, self._numbered)
            _note_class(found, group)
        return list(found.values())


def _is_one(obj: object) -> bool:
    if type(obj) is types.FunctionType:
        return not obj.__closure__
    return issubclass(type(obj), type) or type(obj) is object


def _note(found: _Found, group: Group, now: Look, numbered: Collection[int]) -> None:
    """The new content of each changed object of the group."""
    before = group.before
    same_shape = before.ends == now.ends and all(map(operator.is_, before.names, now.names))
    if not same_shape:
        positions: Iterable[int] = _differing(before, now)
    else:
        suspects = itertools.compress(
            itertools.count(), map(operator.is_not, before.parts, now.parts)
        )
        differing = [at for at in suspects if not tokens.same(before.parts[at], now.parts[at])]
        if not differing:
            return
        owners = _owners(now)
        if (kind := _COLUMNS.get(group.facet)) and _note_columns(
            found, kind, group, now, differing, owners
        ):
            return
        positions = dict.fromkeys(owners[at] for at in differing)
    for position in positions:
        if (content := _content(group, position, now, numbered)) is not None:
            kind, parts = content
            _of(found, kind).add(group.numbers[position], parts)


def _note_class(found: _Found, group: Group) -> None:
    """The objects whose `__class__` the cell has set."""
    if group.facet not in ("attributes", "slots"):
        return
    differs = map(operator.is_not, map(type, group.objects), itertools.repeat(group.cls))
    for position in itertools.compress(itertools.count(), differs):
        changes = _of(found, "class of")
        if group.numbers[position] not in changes.numbers:
            changes.add(group.numbers[position], [type(group.objects[position])])


def _of(found: _Found, kind: str, *column: Any) -> Changes:
    key = kind, *column
    return found.get(key) or found.setdefault(key, Changes(kind, column))


def _owners(look: Look) -> list[int]:
    """The position of each part's object."""
    ends = look.ends
    lengths = map(operator.sub, ends, itertools.chain([0], ends))
    return list(itertools.chain.from_iterable(map(itertools.repeat, itertools.count(), lengths)))


def _note_columns(
    found: _Found, kind: str, group: Group, now: Look, differing: list[int], owners: list[int]
) -> bool:
    """Changes name by name, if a few names cover all objects. False if not."""
    by_name: defaultdict[Any, list[int]] = defaultdict(list)
    for at in differing:
        by_name[now.names[at]].append(at)
        if len(by_name) > _MOST_COLUMNS:
            return False
    if not all(type(name) is str for name in by_name):
        return False
    for name, places in by_name.items():
        changes = _of(found, kind, name)
        changes.numbers.extend(group.numbers[owners[at]] for at in places)
        changes.parts.extend(map(now.parts.__getitem__, places))
    return True


def _content(
    group: Group, position: int, now: Look, numbered: Collection[int]
) -> tuple[str, Sequence[Any]] | None:
    """How one object changed, and its parts."""
    obj, before = group.objects[position], group.before
    were, are = before.span(position), now.span(position)
    if group.facet == "reduced":
        return _of_reduced(obj, before.parts[were], now.parts[are], numbered)
    if group.facet == "dict":
        return "dict", [*now.names[are], *now.parts[are]]
    if now.names or before.names:
        held = dict(zip(before.names[were], before.parts[were], strict=True))
        holds = dict(zip(now.names[are], now.parts[are], strict=True))
        differs = looks.changed_names(held, holds)
        kind = _COLUMNS.get(group.facet, group.facet)
        return kind, [*differs, *differs.values()]
    if group.facet == "array":
        content = obj.copy() if obj.dtype.hasobject else obj.view()
        return "array", [content, array_subclasses.is_writeable(obj)]
    if group.facet == "row":
        return "row", [obj.copy()]
    return group.facet, [obj[:]] if group.facet == "buffer" else now.parts[are]


def _differing(before: Look, now: Look) -> Iterator[int]:
    """The positions of objects with different tokens."""
    for position in range(len(now.ends)):
        were, are = before.span(position), now.span(position)
        if not (
            _all_same(before.parts[were], now.parts[are])
            and _all_same(before.names[were], now.names[are])
        ):
            yield position


def _all_same(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and (
        all(map(operator.is_, before, now)) or all(map(tokens.same, before, now))
    )


def _of_reduced(
    obj: Any, before: list[Any], now: list[Any], numbered: Collection[int]
) -> tuple[str, Sequence[Any]] | None:
    """How to change, in the notebook, an object with its own pickling."""
    again, taken = looks.by_reduction(obj, numbered)
    sets_itself = hasattr(cast(Any, type(obj)), "__setstate__")
    if issubclass(type(taken), Exception):
        if sets_itself or before[1] != "raw":
            return "state", [tokens.Unsendable(taken)]
        now = now if now[1] == "raw" else [None, "raw", *(again[2:])]
    elif not tokens.same(before[0], now[0]) and tokens.same(now[0], again[0]):
        return "made", taken
    if before[1] != now[1] or now[1] == "state":
        return "state", taken[2:]
    were, are, later = (looks.paired(one[2:]) for one in (before, now, again))
    names = [
        name
        for name in looks.changed_names(were, are)
        if tokens.changed(*(one.get(name, looks.GONE) for one in (were, are, later)))
    ]
    if not names:
        return None
    if sets_itself and now[1] == "named":
        return "state", taken[2:]
    held = shapes.attributes(obj) if now[1] == "raw" else looks.by_name(taken[2]) or {}
    return "attributes", [*names, *(held.get(name, looks.GONE) for name in names)]

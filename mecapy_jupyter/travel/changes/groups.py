"""The objects that travelled, by type, and their content before the cell. Not among them: what is
only the memory of pandas' tables. It changes with its table and not by itself, because pandas
shares it between tables until one is written.
"""

from __future__ import annotations

import itertools
import types
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mecapy_jupyter.travel.changes import looks, shapes, tokens
from mecapy_jupyter.travel.changes.looks import Look
from mecapy_jupyter.travel.changes.tokens import Made
from mecapy_jupyter.travel.pickling import array_views, by_name_reducers, pandas_reducers


@dataclass(slots=True)
class Group:
    """Objects of one type that are looked at in one way."""

    facet: str
    cls: type[Any]
    numbers: array[int] = field(default_factory=lambda: array("q"))
    objects: list[Any] = field(default_factory=list[Any])
    before: Look = field(default_factory=Look)


def watched(
    held: Iterable[tuple[int, object]], numbered: Collection[int], tops: set[int]
) -> tuple[list[Group], set[int]]:
    """The groups to look at, and the ids of what is only the memory of tables. `tops`: the ids of
    the variables' values.
    """
    groups = _groups(held)
    inside = _inside_tables(groups, numbered)
    hidden = inside.keys() - tops
    found = _looked_at(groups, numbered, (lambda one: id(one) not in hidden) if hidden else None)
    if hidden:
        shown = _held_elsewhere(found, inside, hidden, numbered)
        found += _looked_at(groups, numbered, lambda one: id(one) in shown)
        hidden -= shown
    return found, hidden


def _groups(held: Iterable[tuple[int, object]]) -> list[Group]:
    """All objects that may change, by type and facet."""
    by_type: defaultdict[type[Any], list[tuple[int, object]]] = defaultdict(list)
    for pair in held:
        by_type[type(pair[1])].append(pair)
    found: list[Group] = []
    for cls, pairs in by_type.items():
        if cls is types.FunctionType or issubclass(cls, type):
            pairs = [pair for pair in pairs if shapes.facets(pair[1])]
        if cls.__module__ in by_name_reducers.GENERATORS:  # their state travels by itself
            pairs = [pair for pair in pairs if not by_name_reducers.is_of_process(pair[1])]
        for facet in shapes.facets(pairs[0][1]) if pairs else ():
            numbers = array("q", [number for number, _ in pairs])
            found.append(Group(facet, cls, numbers, [obj for _, obj in pairs]))
    return found


def _looked_at(
    groups: Iterable[Group], numbered: Collection[int], wanted: Callable[[object], bool] | None
) -> list[Group]:
    """The objects that are wanted (None: all), with their present content."""
    found: list[Group] = []
    for group in groups:
        chosen = list(map(wanted, group.objects)) if wanted else [True] * len(group.objects)
        if any(chosen):
            objects = list(itertools.compress(group.objects, chosen))
            found.append(
                Group(
                    group.facet,
                    group.cls,
                    array("q", itertools.compress(group.numbers, chosen)),
                    objects,
                    looks.look(group.facet, group.cls, objects, numbered),
                )
            )
    return found


def _inside_tables(groups: Iterable[Group], numbered: Collection[int]) -> dict[int, object]:
    """The memory of tables, by id, but not the record of who shares it: that stays one object."""
    return {
        id(part): part
        for group in groups
        if group.facet == "reduced" and tokens.is_table(group.cls) and not tokens.belongs(group.cls)
        for obj in group.objects
        for part in looks.inside(obj, numbered)
        if not pandas_reducers.is_record(part)
    }


def _held_elsewhere(
    found: Iterable[Group],
    inside: Mapping[int, object],
    hidden: Collection[int],
    numbered: Collection[int],
) -> set[int]:
    """The ids of the memory of tables that objects other than tables hold too, or arrays of theirs
    that share it: a change must show in both.
    """
    others = [group for group in found if not tokens.is_table(group.cls)]
    parts = {id(part) for group in others for part in _flat(group.before.parts)}
    shown = {at for at in inside if at in parts or at not in hidden}
    for obj in [inside[at] for at in shown]:
        if tokens.is_table(type(obj)):  # an extension array, and its arrays
            shown.update(map(id, looks.inside(obj, numbered)))
    arrays = [array for group in others if shapes.is_array(group.cls) for array in group.objects]
    arrays += [inside[at] for at in shown if at in inside and shapes.is_array(type(inside[at]))]
    owners = {id(array_views.memory_owner(array)) for array in arrays}
    return {
        at
        for at, part in inside.items()
        if at in shown
        or (shapes.is_array(type(part)) and id(array_views.memory_owner(part)) in owners)
    }


def _flat(parts: Iterable[Any]) -> Iterator[object]:
    for part in parts:
        if type(part) is Made:
            yield from _flat(part)
        else:
            yield part

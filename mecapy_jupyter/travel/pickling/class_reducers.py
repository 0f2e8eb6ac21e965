"""Pickles a class of the notebook as it is now, and not as its statement made it: with its slots,
with attributes equal to its base's, and without running its creation hooks again
(`__init_subclass__`, a metaclass). Part of `pickler`. The functions named in the results run on the
other side.
"""

from __future__ import annotations

import abc
import enum
import types
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from mecapy_jupyter.travel.environment import user_modules
from mecapy_jupyter.travel.hooks import abstract_classes, pickles
from mecapy_jupyter.travel.pickling import by_name_reducers

_LEFT_OUT = frozenset({"__dict__", "__weakref__", "__slots__", "__doc__", "__module__"})


def as_it_is(cls: Any, as_reduced: Any) -> Any:
    """cloudpickle's parts of `cls`, completed."""
    if as_reduced[0] in (pickles.make_skeleton_enum, pickles.make_skeleton_class):
        # made by looking at the class, so the second pickle would have more objects than the first
        as_reduced[2][0].pop("__slotnames__", None)
        if as_reduced[2][0].get("__annotations__") == {}:
            del as_reduced[2][0]["__annotations__"]
    if as_reduced[0] is pickles.make_skeleton_enum:
        return _with_members(cls, as_reduced)
    if as_reduced[0] is not pickles.make_skeleton_class:
        return as_reduced
    if by_name := by_name_reducers.handed_out(cls, str(cls.__module__)):
        return by_name
    _, (kind, name, bases, keywords, tracker, extra), (attributes, slots), *rest = as_reduced
    stored: dict[str, Any] = {**vars(cls)}
    if "__slots__" in stored and tuple not in cls.__mro__:
        keywords = keywords | {"__slots__": stored["__slots__"]}
        attributes = {
            n: v
            for n, v in attributes.items()
            if n != "__slots__" and not isinstance(v, types.MemberDescriptorType)
        }
    attributes = attributes | {
        n: v for n, v in stored.items() if n not in attributes and _is_as_inherited(cls, n, v)
    }
    made = kind, name, bases, keywords, tracker, extra
    if homes := abstract_classes.registered_with(cls):
        return _again, made, ((attributes, slots), homes), *rest[:2], _registered_setstate
    return _again, made, (attributes, slots), *rest


def _registered_setstate(cls: Any, state: tuple[Any, list[Any]]) -> Any:
    of_class, homes = state
    pickles.class_setstate(cls, of_class)
    for home in homes:
        abc.ABCMeta.register(home, cls)
    return cls


_OF_ENUM = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


def _with_members(cls: Any, as_reduced: Any) -> Any:
    """An enumeration with its aliases and combined flags, which cloudpickle omits, and with the
    attributes that members have from `__init__`.
    """
    held: dict[str, dict[str, Any]] = {}
    members: dict[str, Any] = cls.__members__
    for name, member in members.items():
        stored: dict[str, Any] = {**vars(member)}
        held[name] = {n: v for n, v in stored.items() if n not in _OF_ENUM}
    make, (bases, name, qualified, _, *others), (attributes, slots), *rest = as_reduced
    values = {name: _of_member(member.value) for name, member in members.items()}
    attributes = {n: v for n, v in attributes.items() if n not in members}
    made = bases, name, qualified, values, *others
    return make, made, ((attributes, slots), held), *rest[:2], _enum_setstate


def _of_member(value: Any) -> Any:
    """In the body of an enumeration, a function would be a method."""
    is_special = hasattr(value, "__get__") or isinstance(value, type)
    return enum.member(value) if is_special else value


def _enum_setstate(cls: Any, state: tuple[Any, dict[str, dict[str, Any]]]) -> Any:
    of_class, held = state
    pickles.class_setstate(cls, of_class)
    members: dict[str, Any] = cls.__members__
    for name, attributes in held.items():
        cast("dict[str, Any]", vars(members[name])).update(attributes)
    return cls


def _is_as_inherited(cls: Any, name: str, value: object) -> bool:
    """Whether cloudpickle omitted an attribute because the base has the same object."""
    special = name in _LEFT_OUT or name.startswith("_abc_")
    bases: tuple[type, ...] = cls.__bases__
    inherited = any(vars(base).get(name) is value for base in bases)
    return inherited and not special and not isinstance(value, types.GetSetDescriptorType)


def _again(
    kind: Any, name: str, bases: tuple[Any, ...], keywords: dict[str, Any], tracker: Any, extra: Any
) -> Any:
    """The empty class. Its creation hooks ran where the statement is; what they changed travels by
    itself.
    """
    with _quiet(bases):
        if not user_modules.has_made(kind):
            return pickles.make_skeleton_class(kind, name, bases, keywords, tracker, extra)
        standard = next(one for one in kind.__mro__ if not user_modules.has_made(one))
        made = standard.__new__(kind, name, bases, dict(keywords))
        return pickles.lookup_class_or_track(tracker, made)


def _nothing(**_keywords: object) -> None: ...


@contextmanager
def _quiet(bases: tuple[Any, ...]) -> Generator[None]:
    """Inside the block, no `__init_subclass__` of the user's classes runs."""
    user_classes: list[type] = [
        one
        for base in bases
        for one in getattr(base, "__mro__", ())
        if "__init_subclass__" in vars(one) and user_modules.has_made(one)
    ]
    hooks: dict[type, Any] = {one: vars(one)["__init_subclass__"] for one in user_classes}
    for one in hooks:
        type.__setattr__(one, "__init_subclass__", staticmethod(_nothing))
    try:
        yield
    finally:
        for one, hook in hooks.items():
            type.__setattr__(one, "__init_subclass__", hook)

"""Gives an object in the notebook the content of its counterpart after the cell, so that every
reference sees the change. It uses the functions of the base type that holds the content, and never
a method that a subclass overrides; or `__setstate__`, if the type pickles with one.
"""

from __future__ import annotations

import abc
import array
import copy
import decimal
import itertools
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from mecapy_jupyter.travel.changes import array_copy, looks, shapes, stateless
from mecapy_jupyter.travel.changes.looks import GONE
from mecapy_jupyter.travel.hooks import abstract_classes

LAST = ("state", "made")
"""These run the object's own code, which may read the content."""


def apply(original: Any, kind: str, parts: list[Any]) -> bool:
    """Give `original` these parts. False: it cannot be changed in place; use `instead`."""
    return _SETTERS[kind](original, parts) is not False


def apply_column(kind: str, name: Any, originals: Iterable[Any], values: Iterable[Any]) -> None:
    """Give each of many originals one value: an entry of a dict, or an attribute."""
    setter, cls, slot = _SETTERS[kind], None, None
    for original, value in zip(originals, values, strict=True):
        if type(original) is not cls:
            cls = cast("type[Any]", type(original))
            slot = shapes.slots(cls).get(name)
        if value is GONE or kind != "attributes":
            setter(original, [name, value])
        elif slot is not None:
            slot.__set__(original, value)
        else:
            object.__getattribute__(original, "__dict__")[name] = value


def instead(kind: str, parts: list[Any]) -> Any:
    """A new object with the content, if `apply` could not change the original. Raises LookupError
    if there is none.
    """
    if kind == "made":
        return _made(parts)
    if kind in ("array", "buffer", "row"):
        return parts[0]
    raise LookupError(kind)


def twin(original: Any, changes: Sequence[tuple[str, list[Any]]]) -> Any:
    """A new object with the content of the counterpart of `original`, which stays as it is."""
    kinds = [kind for kind, _ in changes]
    for kind, parts in changes:
        if kind == "array":  # its content is the whole array
            return parts[0]
    if isinstance(original, type) or "cell" in kinds:  # singletons
        return changes[0][1]
    try:
        other = copy.copy(original)
        done = [apply(other, kind, parts) for kind, parts in changes]
        return other if all(done) else instead(*changes[0])
    except Exception:  # objects that cannot be copied
        return instead(*changes[0])


def rebind(namespace: dict[str, Any], swaps: Sequence[tuple[object, object]]) -> list[str]:
    """If an original could not be changed in place, bind its names to the new object. Returns the
    names.
    """
    new = {id(old): replacement for old, replacement in swaps}
    names = [
        name for name, value in namespace.items() if id(value) in new and not name.startswith("_")
    ]
    for name in names:
        namespace[name] = new[id(namespace[name])]
    return names


def _set_list(original: Any, parts: list[Any]) -> None:
    base: Any = list
    base.__setitem__(original, slice(None), parts)


def _set_dict(original: Any, parts: list[Any]) -> None:
    base: Any = OrderedDict if isinstance(original, OrderedDict) else dict
    base.clear(original)
    _set_entries(original, parts)


def _set_entries(original: Any, parts: list[Any]) -> None:
    """The changes of a dict whose keys stay the same."""
    base: Any = OrderedDict if isinstance(original, OrderedDict) else dict
    half = len(parts) // 2
    for key, value in zip(parts[:half], parts[half:], strict=True):
        base.__setitem__(original, key, value)


def _set_set(original: Any, parts: list[Any]) -> None:
    base: Any = set
    base.clear(original)
    base.update(original, parts)


def _set_deque(original: Any, parts: list[Any]) -> None:
    base: Any = deque
    base.clear(original)
    base.extend(original, parts)


def _set_buffer(original: Any, parts: list[Any]) -> bool:
    base: Any = bytearray if isinstance(original, bytearray) else array.array
    try:
        base.__setitem__(original, slice(None), parts[0])
    except BufferError:  # a buffer is exported, and the length differs
        return False
    return True


def _set_factory(original: Any, parts: list[Any]) -> None:
    base: Any = defaultdict
    base.default_factory.__set__(original, parts[0])


def _set_cell(original: Any, parts: list[Any]) -> None:
    if parts:
        original.cell_contents = parts[0]
    else:
        del original.cell_contents


def _set_array(original: Any, parts: list[Any]) -> bool:
    content, writeable = parts
    return array_copy.set_content(original, content, writeable)


def _set_row(original: Any, parts: list[Any]) -> None:
    for name in original.dtype.names:
        original[name] = parts[0][name]


def _set_attributes(original: Any, parts: list[Any]) -> None:
    """Sets only the attributes that differ, so that state which did not travel stays."""
    slots, half = shapes.slots(cast(Any, type(original))), len(parts) // 2
    for name, value in zip(parts[:half], parts[half:], strict=True):
        if (slot := slots.get(name)) is not None:
            if value is not GONE:
                slot.__set__(original, value)
            elif hasattr(original, name):
                slot.__delete__(original)
        elif value is not GONE:
            object.__getattribute__(original, "__dict__")[name] = value
        else:
            object.__getattribute__(original, "__dict__").pop(name, None)


def _set_names(original: Any, parts: list[Any]) -> None:
    original.names = tuple(parts)


def _set_function(original: Any, parts: list[Any]) -> None:
    half = len(parts) // 2
    for name, value in zip(parts[:half], parts[half:], strict=True):
        setattr(original, name, value)


def _set_class(original: type, parts: list[Any]) -> None:
    half = len(parts) // 2
    for name, value in zip(parts[:half], parts[half:], strict=True):
        if value is GONE:
            type.__delattr__(original, name)
        else:
            type.__setattr__(original, name, value)


def _set_members(original: Any, parts: list[Any]) -> None:
    half = len(parts) // 2
    for (name, attribute), value in zip(parts[:half], parts[half:], strict=True):
        _set_attributes(original.__members__[name], [attribute, value])


def _set_class_of(original: Any, parts: list[Any]) -> None:
    object.__setattr__(original, "__class__", parts[0])


def _set_registry(original: Any, parts: list[Any]) -> None:
    for cls in parts:
        if not any(cls is registered for registered in abstract_classes.registered(original)):
            abc.ABCMeta.register(original, cls)


def _set_state(original: Any, parts: list[Any]) -> bool:
    """Sets a state as pickle does. State that `__getstate__` omits stays."""
    state, items, entries, setter = parts
    if items is not None and not isinstance(original, list):
        return False
    if entries is not None and not isinstance(original, dict):
        return False
    if setter is not None:
        setter(original, state)
    elif state is not None:
        _take_state(original, state)
    if items is not None:
        _set_list(original, items)
    if entries is not None:
        _set_dict(original, [key for key, _ in entries] + [value for _, value in entries])
    return state is not None or items is not None or entries is not None


def _take_state(original: Any, state: object) -> None:
    now = looks.by_name(state)
    try:
        were = looks.by_name(original.__getstate__()) or {} if now is not None else {}
    except Exception:
        were = {}
    if hasattr(original, "__setstate__"):
        original.__setstate__(state)
    elif now is not None:
        _set_attributes(original, [*now, *now.values()])
    else:
        raise TypeError(f"the state of a {type(original).__name__} cannot be set")
    for name in were.keys() - (now or {}).keys():
        if name in shapes.attributes(original):
            object.__delattr__(original, name)


def _set_made(original: Any, parts: list[Any]) -> bool:
    """Set it by a new object made of the parts, if the object holds only attributes."""
    cls = cast("type[Any]", type(original))
    if cls is itertools.count:
        return stateless.advance(original, parts[1])
    new = _made(parts)
    if new is original:  # the constructor knows it and has set it
        return True
    if cls is decimal.Context:
        return stateless.adjust(original, new)
    # some create a class for each object
    named = f"{type(new).__module__}.{type(new).__qualname__}"
    if named != f"{cls.__module__}.{cls.__qualname__}" or not shapes.is_all_attributes(cls):
        return False
    now = shapes.attributes(new)
    _set_attributes(original, [*now, *now.values()])
    return True


class _Reduced:
    def __init__(self, *parts: Any) -> None:
        self._parts = parts

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return self._parts


def _made(parts: list[Any]) -> Any:
    """A new object from the pieces of a `__reduce_ex__`."""
    make, arguments, state, items, entries, setter = parts
    content = items and iter(items), entries and iter(entries)
    new = copy.copy(cast(Any, _Reduced(make, arguments, None if setter else state, *content)))
    if setter:
        setter(new, state)
    return new


_SETTERS: dict[str, Callable[[Any, list[Any]], bool | None]] = {
    "list": _set_list,
    "dict": _set_dict,
    "entries": _set_entries,
    "set": _set_set,
    "deque": _set_deque,
    "buffer": _set_buffer,
    "factory": _set_factory,
    "cell": _set_cell,
    "array": _set_array,
    "names": _set_names,
    "row": _set_row,
    "attributes": _set_attributes,
    "function": _set_function,
    "class": _set_class,
    "members": _set_members,
    "class of": _set_class_of,
    "registry": _set_registry,
    "state": _set_state,
    "made": _set_made,
}

"""Which inputs a cell changed in place, and how to do the same at home.

In the child: `Watch` looks at the opened inputs before the cell runs and again after it. In the
kernel: `apply` gives an original the content its counterpart ended with, so that every other name
for it sees the change. Neither talks to anybody.
"""

from __future__ import annotations

import array
import copy
import types
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from mecapy_jupyter.travel.changes import contents, user_classes


class Watch:
    """The inputs of one run, by number, and what they held before it."""

    def __init__(
        self, memo: Mapping[int, object], variables: Iterable[object], namespace: object = None
    ) -> None:
        """`memo`: as unpickled; `variables`: the values of the input variables (watched even when
        part of a larger object).
        """
        self._figures = contents.figures(memo)
        tops = {id(value) for value in variables} | self._figures.keys()
        watched = {
            number: obj
            for number, obj in memo.items()
            if obj is not namespace and contents.watchable(obj)
        }
        kinds = {number: contents.kind_of(obj) for number, obj in watched.items()}
        hidden = {
            id(contents.memory_of(obj))
            for number, obj in watched.items()
            if kinds[number] == "array"
        }
        self._before: dict[int, Any] = {}
        for number, obj in watched.items():
            if kinds[number] == "opaque" and (id(obj) not in hidden or id(obj) in tops):
                self._before[number] = contents.looks(obj, self._figures, hidden)
        # What lies inside an object we cannot look into belongs to it: it changes with it, and not
        # by itself.
        self.objects = {
            n: obj for n, obj in watched.items() if id(obj) in tops or id(obj) not in hidden
        }
        self._own = frozenset(number for number in self.objects if kinds[number] == "own")
        self._numbers = (
            {id(obj): number for number, obj in self.objects.items()} if self._own else {}
        )
        for number, obj in self.objects.items():
            if kinds[number] != "opaque":
                self._before[number] = self._content(number, obj)

    def _content(self, number: int, obj: object) -> Any:
        return contents.content_of(obj, self._numbers if number in self._own else self._figures)

    @classmethod
    def of_call(cls, memo: Mapping[int, object]) -> Watch:
        """For a function call: what it returns are copies, even of its arguments, and what it
        changes in them stays where it ran.

        Only what there is one of stays itself: classes, functions (without variables of their own),
        and bare objects that mark something.
        """
        watch = cls({}, ())
        watch.objects = {
            number: obj for number, obj in memo.items() if contents.watchable(obj) and _is_one(obj)
        }
        return watch

    def changed(self) -> dict[int, tuple[str, Any]]:
        """Number → (kind, content now) of every watched object that does not hold what it held.
        Content is a new object.
        """
        now = {
            n
            for n, obj in self.objects.items()
            if n in self._before and not contents.same(self._before[n], self._content(n, obj))
        }
        if now and self._own:
            now |= self._leading_to(now)
        return {
            n: (contents.kind_of(obj), contents.copied(obj))
            for n, obj in self.objects.items()
            if n in now
        }

    def _leading_to(self, changed: set[int]) -> set[int]:
        """The own objects that hold something of this. At home it may be a copy that their
        `__getstate__` made, so they take it anew.
        """
        held: dict[int, set[int]] = {}

        def leads(number: int) -> bool:
            seen, todo = set[int](), {number}
            while todo and not todo & changed:
                one = todo.pop()
                seen.add(one)
                if one not in held:
                    held[one] = contents.held(self.objects[one], self._numbers)
                todo |= held[one] - seen
            return bool(todo)

        return {number for number in self._own if leads(number)}


def _is_one(obj: object) -> bool:
    if isinstance(obj, types.FunctionType):
        return not obj.__closure__
    return isinstance(obj, type) or type(obj) is object


def apply(original: Any, kind: str, content: Any) -> bool:
    """Give `original` the `content` its counterpart had at the end. False: it cannot be done in
    place, use `content` instead.
    """
    if kind in ("list", "deque", "dict", "set"):
        _refill(original, kind, content["items"], content["attributes"])
    elif kind == "random":
        original.bit_generator.state = content
    elif kind == "bytearray":
        original[:] = content
    elif kind == "array":
        return _apply_array(original, content)
    elif kind == "class":
        _apply_class(original, content)
    elif kind == "cell":
        _refill_cell(original, content)
    elif kind == "instance":
        _set_attributes(original, content)
    elif kind == "own":
        return user_classes.take(original, content)
    else:
        return _apply_opaque(original, content)
    return True


def instead(kind: str, content: Any) -> Any:
    """A new object that holds the content, where `apply` could not give it to the original."""
    return user_classes.again(content) if kind == "own" else content


def twin(original: Any, kind: str, content: Any) -> Any:
    """A new object that holds what the counterpart of `original` had at the end; the original stays
    as it is.
    """
    if kind in (
        "array",
        "random",
        "class",
        "cell",
    ):  # an array's content is the whole array; of the others there is only one
        return content
    try:
        other = copy.copy(original)
        return other if apply(other, kind, content) else instead(kind, content)
    except Exception:  # what cannot be copied
        return instead(kind, content)


def _refill(original: Any, kind: str, items: Any, attributes: dict[str, Any] | None) -> None:
    original.clear()
    if kind == "dict":
        for key, value in items:  # not update(): a Counter would count
            original[key] = value
    else:
        original.update(items) if kind == "set" else original.extend(items)
    if attributes is not None:
        _set_attributes(original, attributes)


def _set_attributes(original: Any, attributes: dict[str, Any]) -> None:
    slots = set(user_classes.slots_of(original))
    if hasattr(original, "__dict__"):
        original.__dict__.clear()
        original.__dict__.update(
            {name: value for name, value in attributes.items() if name not in slots}
        )
    for name in slots:
        if name in attributes:
            object.__setattr__(original, name, attributes[name])
        elif hasattr(original, name):
            object.__delattr__(original, name)


def _refill_cell(original: types.CellType, content: list[Any]) -> None:
    if content:
        original.cell_contents = content[0]
    else:
        del original.cell_contents


def _apply_array(original: Any, content: Any) -> bool:
    if (
        original.dtype != content.dtype
        or original.size != content.size
        or not original.flags.writeable
    ):
        return False
    if original.shape != content.shape:
        try:
            with warnings.catch_warnings(
                action="ignore", category=DeprecationWarning
            ):  # NumPy 2.5 and newer
                original.shape = content.shape
        except AttributeError:  # a window that would need a copy
            return False
    original[...] = content
    return True


def _apply_class(original: type, content: dict[str, Any]) -> None:
    for name in set(contents.class_attributes(original)) - set(content):
        delattr(original, name)
    for name, value in content.items():
        if original.__dict__.get(name) is not value:
            setattr(original, name, value)


def _apply_opaque(original: Any, content: Any) -> bool:
    """By the object's own pickle protocol: DataFrames, random generators and the like."""
    cls = cast("type[Any]", type(original))
    if type(content) is not cls:
        return False
    try:
        if isinstance(original, array.array):
            original[:] = content
        elif user_classes.plainly(cls) or hasattr(original, "__setstate__"):
            state = content.__getstate__()  # without `__setstate__`: an artist of matplotlib
            return (user_classes.plainly(cls) or state is not None) and user_classes.take_state(
                original, state
            )
        elif user_classes.is_all_attributes(cls):
            _set_attributes(original, user_classes.attributes(content) or {})
        else:
            return False
    except Exception:
        return (
            False  # the caller takes the new object instead, which is right in all but its identity
        )
    return True


def rebind(namespace: dict[str, Any], swaps: Sequence[tuple[object, object]]) -> list[str]:
    """Where an original could not be changed in place: let every name for it mean the new object.
    Returns the names.
    """
    new = {id(old): replacement for old, replacement in swaps}
    names = [
        name for name, value in namespace.items() if id(value) in new and not name.startswith("_")
    ]
    for name in names:
        namespace[name] = new[id(namespace[name])]
    return names

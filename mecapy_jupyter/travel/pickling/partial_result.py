"""Opens a result as far as possible when a part of it cannot be opened, with the reason for each
lost variable.

The pickle is read again, slowly, and whatever fails is replaced by a `Lost`, so that the numbers of
objects stay right and variables keep what they share. A variable that leads to a `Lost` is left
out. Only the owner's kernel opens results.
"""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

import cloudpickle

from mecapy_jupyter.travel.hooks.pickles import PythonUnpickler
from mecapy_jupyter.travel.pickling import constants, folder_paths, inputs
from mecapy_jupyter.travel.pickling.pickler import opening


class Lost:
    """Replaces an object that cannot be opened. It accepts whatever a pickle does to it: calls,
    items, state.
    """

    def __init__(self, why: str) -> None:
        self.why = why

    def __call__(self, *_: Any, **__: Any) -> Lost:
        return self

    def __setitem__(self, _key: Any, _value: Any) -> None: ...

    def __setstate__(self, _state: object) -> None: ...

    append = extend = add = update = __setstate__


Step = Callable[[Any], None]


class Careful(PythonUnpickler):
    """Continues when an object cannot be created. `half`: ids of objects whose state could not be
    set.
    """

    dispatch: dict[int, Step]
    stack: list[Any]
    metastack: list[list[Any]]

    def __init__(
        self, file: io.BytesIO, buffers: Iterable[Any], originals: Mapping[int, object]
    ) -> None:
        PythonUnpickler.__init__(self, file, buffers=buffers)
        self._originals, self._constants = originals, constants.Met()
        self.half: dict[int, tuple[object, str]] = {}

    def persistent_load(self, pid: Any) -> object:
        if type(pid) is not int:
            return pid.here() if type(pid) is folder_paths.InFolder else pid
        return self._originals[pid] if pid in self._originals else self._constants.of(pid)

    def find_class(self, module: str, name: str) -> Any:
        try:
            return PythonUnpickler.find_class(self, module, name)
        except Exception as error:
            return Lost(_said(error))


def _made(original: Step, consumed: int, careful: Careful) -> None:
    """A step that takes `consumed` objects from the stack and pushes one."""
    kept, depth = list(careful.stack[-consumed:]), len(careful.stack)
    try:
        original(careful)
    except Exception as error:
        del careful.stack[depth - consumed :]
        parts = _flat(kept)
        lost = next((part for part in parts if isinstance(part, Lost)), None) or Lost(_said(error))
        # cloudpickle's: sets the state of its argument
        if str(getattr(parts[0], "__name__", "")).endswith("_setstate") and len(parts) > 1:
            careful.half[id(parts[1])] = parts[1], lost.why
        careful.append(lost)


def _filled(original: Step, consumed: int, careful: Careful) -> None:
    """A step that fills an object with content above it on the stack: `consumed` objects, or (0)
    all since the last mark. If it fails, the object stays on the stack and is lost.
    """
    stack: list[Any] = careful.stack if consumed else careful.metastack[-1]
    depth = len(stack) - consumed
    try:
        original(careful)
    except Exception as error:
        made = stack[depth - 1]
        careful.half[id(made)] = made, _said(error)
        del stack[depth:]


_MAKING = {pickle.REDUCE: 2, pickle.NEWOBJ: 2, pickle.NEWOBJ_EX: 3}
_FILLING = {
    pickle.BUILD: 1,
    pickle.SETITEM: 2,
    pickle.APPEND: 1,
    pickle.SETITEMS: 0,
    pickle.APPENDS: 0,
    pickle.ADDITEMS: 0,
}
Careful.dispatch = dict(PythonUnpickler.dispatch)
for _how, _codes in ((_made, _MAKING), (_filled, _FILLING)):
    for _code, _consumed in _codes.items():
        Careful.dispatch[_code[0]] = partial(_how, PythonUnpickler.dispatch[_code[0]], _consumed)


def loader(
    file: io.BytesIO, buffers: Iterable[Any], originals: Mapping[int, object]
) -> tuple[Careful, Callable[[object], str]]:
    """Its `load` opens each part of a stream as far as possible. Also returns a function that
    explains why a value is lost (empty: it is complete).
    """
    careful = Careful(file, buffers, originals)
    known = {id(original) for original in originals.values()}

    def why(value: object) -> str:
        found: list[str] = []
        seeker = _Seeker(io.BytesIO(), protocol=5, buffer_callback=lambda _: False)
        seeker.half, seeker.known, seeker.found = careful.half, known, found
        # found, or cannot be pickled: it came by pickle and is complete
        with contextlib.suppress(Exception):
            seeker.dump(value)
        return found[0] if found else ""

    return careful, why


def take_lost(states: dict[str, Any], why: Callable[[object], str]) -> dict[str, str]:
    """Removes what is lost, and returns the reasons."""
    lost = {name: reason for name, held in states.items() if (reason := why(held))}
    for name in lost:
        del states[name]
    return lost


class _Seeker(cloudpickle.Pickler):
    """Walks everything that a value leads to, as pickle would, until it meets a `Lost`."""

    half: Mapping[int, tuple[object, str]]
    known: set[int]
    found: list[str]

    def persistent_id(self, obj: Any) -> int | None:
        if isinstance(obj, Lost):
            self.found.append(obj.why)
        elif id(obj) in self.half:
            self.found.append(self.half[id(obj)][1])
        else:
            return 1 if id(obj) in self.known else None
        raise pickle.PicklingError


def keep_what_is_whole(
    home: dict[str, Any], why: Callable[[object], str], name_of: Callable[[int], str]
) -> None:
    """Removes lost variables from a result and adds them to `left`, with the reason. `name_of`: an
    input, by its number.
    """
    for name, value in list(home["bound"].items()):
        if reason := why(value):
            del home["bound"][name]
            home["left"][name] = f"it cannot be opened here: {reason}"
    for at, changes in enumerate(home["changed"]):
        lost = {number: reason for number, parts in changes if (reason := why(parts))}
        home["changed"][at] = changes.only(set(changes.numbers) - lost.keys())
        for number, reason in lost.items():
            home["left"][f"the change of {name_of(number)}"] = f"it cannot be opened here: {reason}"
    for part in ("value", "exception", "ambient", "files"):
        if part in home and (reason := why(home[part])):
            home[part] = None if part in ("value", "exception") else {}
            if part == "value":
                home["left"]["the last value"] = f"it cannot be opened here: {reason}"


def _flat(parts: Iterable[object]) -> list[object]:
    found: list[object] = []
    for part in parts:
        found += _flat(cast("tuple[object, ...]", part)) if isinstance(part, tuple) else [part]
    return found


def _said(error: Exception) -> str:
    todo = "; install it here too" if isinstance(error, ImportError) else ""
    return f"{type(error).__name__}: {error}{todo}"


def not_opened(stream: Any, buffers: Iterable[Any], namespace: dict[str, Any]) -> list[str]:
    """The variables in a stream of `pack` that cannot be opened. Its prelude has been applied."""
    file, buffers, _ = inputs.after_head(stream, buffers, lambda _: None)
    careful, why = loader(file, buffers, {})
    end, lost = file.getbuffer().nbytes, list[str]()
    with opening(namespace):
        while file.tell() < end:
            variables = careful.load()
            lost += [name for name in variables if why(variables[name])]
    return lost

"""Writes the stream of a task's inputs, and opens its head. Part of `payload`.

The state of the user's modules comes before the values where these name the modules, because equal
state then has equal bytes: they are a buffer beside the stream, which is sent once.
"""

from __future__ import annotations

import io
import pickle
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cloudpickle

from mecapy_jupyter.travel.environment.module_state import SCALARS, States
from mecapy_jupyter.travel.pickling import (
    constants,
    deep_pickler,
    hinted_names,
    sent_once,
    stream_format,
)
from mecapy_jupyter.travel.pickling.packed import STATES, Shared, StatesOf
from mecapy_jupyter.travel.pickling.pickler import Pickler, ResultPickler

_SENT_ONCE_BYTES = 16 * 1024
"""What stays equal from one submission to the next, and has this size, is beside the stream."""

_could_not = set[str]()
"""Paths in modules that could not travel when they were last tried."""


@dataclass(frozen=True, slots=True)
class Written:
    """`modules`: the user's own that the values need; `state_bytes`: how much of the stream, from
    its beginning, is state of modules alone.
    """

    pickler: Pickler
    modules: list[str]
    stream: bytes
    state_bytes: int


def written(
    kind: type[Pickler],
    values: Sequence[Any],
    namespace: dict[str, Any],
    states: StatesOf,
    left: dict[str, object],
) -> Written:
    """What only the output shows (shared memory, constants) takes a second pass."""
    known = _KnownStates(states, namespace, left)
    try:
        return _written_fully(kind, values, namespace, known)
    except _StateFails:
        known.leave_what_fails()
    try:
        return _written_fully(kind, values, namespace, known)
    except _StateFails as both:
        raise both.args[0] from None


class _StateFails(Exception):
    """Some part of the modules' state cannot be pickled."""


class _KnownStates:
    """What can travel of the state of modules. Each part is tried only after a failure, or where it
    failed before.
    """

    def __init__(
        self, states: StatesOf, namespace: dict[str, Any], left: dict[str, object]
    ) -> None:
        self._states, self._namespace, self._left = states, namespace, left
        self._known: States = {}

    def of(self, modules: list[str]) -> States:
        for name, held in self._states(modules).items():
            if name not in self._known:
                self._known[name] = {
                    part: value
                    for part, value in held.items()
                    if f"{name}.{part}" not in _could_not or self._can(f"{name}.{part}", value)
                }
        return self._known

    def leave_what_fails(self) -> None:
        for name, held in self._known.items():
            self._known[name] = {
                part: value for part, value in held.items() if self._can(f"{name}.{part}", value)
            }

    def _can(self, path: str, value: object) -> bool:
        can = type(value) in SCALARS or _can_travel(value, self._namespace, of_modules=True)
        if can:
            _could_not.discard(path)
        else:  # a module makes it by its import
            _could_not.add(path)
            self._left[path] = value
        return can


def _written_fully(
    kind: type[Pickler], values: Sequence[Any], namespace: dict[str, Any], known: _KnownStates
) -> Written:
    once = _written_once(kind, values, namespace, known, Shared())
    shared = once.pickler.copied()
    with_constants = kind is Pickler and constants.may_be_in(once.stream)
    if not (shared or with_constants):
        return once
    again = ResultPickler if with_constants else kind
    return _written_once(again, values, namespace, known, shared)


def _written_once(
    kind: type[Pickler],
    values: Sequence[Any],
    namespace: dict[str, Any],
    states: _KnownStates,
    shared: Shared,
) -> Written:
    file, module_names, sent = io.BytesIO(), list[str](), set[str]()
    pickler = kind(file, namespace, with_globals=True, on_own=module_names.append)
    pickler.known = {id(value): number for number, value in constants.fixed().items()}
    pickler.keep(shared)

    def write_states(modules: list[str]) -> None:
        while fresh := {n: held for n, held in states.of(modules).items() if n not in sent}:
            sent.update(fresh)
            _dump_states(pickler, fresh)
            modules = module_names

    write_states(_homes(values))
    state_bytes = file.tell()
    for value in values:
        pickler.dump(value)
    _dump_hinted(pickler, values, namespace)
    write_states(module_names)
    return Written(pickler, module_names, file.getvalue(), state_bytes)


def _dump_states(pickler: Pickler, fresh: States) -> None:
    pickler.of_modules = True
    try:
        pickler.dump({STATES: fresh})
    except Exception as error:
        if deep_pickler.is_too_deep(error):
            raise
        raise _StateFails(error) from error
    finally:
        pickler.of_modules = False


def _dump_hinted(pickler: Pickler, values: Sequence[Any], namespace: dict[str, Any]) -> None:
    """The variables that string annotations mean."""
    names = {
        name
        for value in values
        if isinstance(value, dict)
        for name in cast("dict[str, Any]", value)
    }
    while meant := hinted_names.meant(
        pickler.hints, namespace, names, lambda value: _can_travel(value, namespace)
    ):
        names |= meant.keys()
        pickler.dump(meant)


def _homes(values: Sequence[Any]) -> list[str]:
    """The modules that the variables themselves are of."""
    found = dict[str, None]()
    for value in values:
        for one in cast("dict[str, Any]", value).values() if type(value) is dict else ():
            kind = cast("type[Any]", type(one))
            if issubclass(kind, types.ModuleType):
                name: object = one.__name__
            else:
                named = issubclass(kind, (type, types.FunctionType))
                name = (one if named else kind).__module__
            if type(name) is str:
                found[name] = None
    return list(found)


def _can_travel(value: object, namespace: dict[str, Any], *, of_modules: bool = False) -> bool:
    try:
        pickler = Pickler(io.BytesIO(), namespace, with_globals=True, on_own=nobody)
        pickler.of_modules = of_modules
        pickler.dump(value)
    except Exception:
        return False
    return True


def with_head(
    first: Any, flags: bytes, stream: bytes, state_bytes: int
) -> tuple[bytes, tuple[memoryview, ...], bytes]:
    """The head of a stream, its buffers, which come before all others, and the rest of the stream.
    Enough state of modules is a buffer.
    """
    buffers = list[pickle.PickleBuffer]()

    def keep(buffer: pickle.PickleBuffer) -> bool:
        beside = buffer.raw().nbytes >= _SENT_ONCE_BYTES
        if beside:
            buffers.append(buffer)
        return not beside

    state: Any = None
    if state_bytes >= _SENT_ONCE_BYTES:
        state, stream = sent_once.packed(stream[:state_bytes]).buffer(), stream[state_bytes:]
    head = cloudpickle.dumps(first, protocol=5, buffer_callback=keep)
    held = state if state is None else pickle.PickleBuffer(state)
    head += pickle.dumps((flags, held), protocol=5, buffer_callback=keep)
    return stream_format.HEAD + head, tuple(one.raw() for one in buffers), stream


def after_head(
    stream: Any, buffers: Iterable[Any], on_prelude: Callable[[Any], object]
) -> tuple[io.BytesIO, list[Any], bytes]:
    """The stream from its first value on, the buffers of the values, and which objects have
    numbers.
    """
    file, beside = stream_format.begin(stream), iter(buffers)
    on_prelude(pickle.Unpickler(file, buffers=beside).load())  # noqa: S301 the child opens its own task's inputs
    numbered, state = pickle.Unpickler(file, buffers=beside).load()  # noqa: S301 as above
    if state is not None:
        file = io.BytesIO(b"".join((state, file.read())))
    return file, list(beside), numbered


def nobody(_module: str) -> None: ...

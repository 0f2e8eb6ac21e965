"""Opens the results of other tasks that this one needs. Part of the child."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from mecapy_jupyter.shared.errors import CannotReceive
from mecapy_jupyter.travel.changes.applied import applied
from mecapy_jupyter.travel.changes.changes import Changes
from mecapy_jupyter.travel.environment import module_importer, prelude
from mecapy_jupyter.travel.pickling import payload
from mecapy_jupyter.wire import RESULT, Json, Need, Payload
from mecapy_worker.shared.messages import TaskMessage
from mecapy_worker.shared.parent_input import ParentInput

Value = Callable[[str], object]
"""The value of a variable of the parent, by its name; "" gives its result."""


def open_all(
    task: TaskMessage, maps: list[Any], streams: bytes, namespace: dict[str, Any]
) -> dict[str, object]:
    """What the task's needs are, by name. `maps`, `streams`: of the parents alone. Raises
    CannotReceive.
    """
    values, rest = dict[str, Value](), memoryview(streams)
    for parent in task.parents:
        try:
            if parent.payload is None:
                values[parent.id] = _of_json(parent)
                continue
            stream, rest = _stream(parent.payload, parent.payload_bytes, maps, rest)
            buffers = _taken(maps, len(parent.payload.buffers))
            originals = _Originals(namespace)
            if parent.sent is not None:
                originals.stream, rest = _stream(parent.sent, parent.sent_bytes, maps, rest)
                originals.buffers = _taken(maps, len(parent.sent.buffers))
            values[parent.id] = _of_pickles(parent, stream, buffers, namespace, originals)
        except CannotReceive:
            raise
        except Exception as error:
            raise CannotReceive(
                f"the result of the task {parent.label} cannot be opened here: "
                f"{type(error).__name__}: {error}; return plain values, or arrays, from it"
            ) from error
    needs = {name: Need.parse(text) for name, text in task.needs.items()}
    return {name: values[need.task_id](need.variable) for name, need in needs.items()}


def digests(task: TaskMessage) -> tuple[str, ...]:
    """The parents' blobs, in the order in which they come."""
    return tuple(
        digest
        for parent in task.parents
        for packed in (parent.payload, parent.sent)
        if packed is not None
        for digest in packed.digests
    )


def stream_bytes(task: TaskMessage) -> int:
    return sum(parent.payload_bytes + parent.sent_bytes for parent in task.parents)


class _Originals(Mapping[int, object]):
    """What a parent was sent, by number: its result may name some of it, a class most often. Opened
    only then.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.stream: Any = None
        self.buffers: list[Any] = []
        self._namespace = namespace

    @cached_property
    def _memo(self) -> dict[int, object]:
        if self.stream is None:
            return {}
        add = prelude.add_modules
        opened = payload.unpack(self.stream, self.buffers, self._namespace, on_prelude=add)
        module_importer.served.take(opened.states, opened.lost)
        return opened.memo

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number >= 0 and number in self._memo

    def __getitem__(self, number: int) -> object:
        return self._memo[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._memo)

    def __len__(self) -> int:
        return len(self._memo)


def _of_json(parent: ParentInput) -> Value:
    def value(variable: str) -> Json:
        if not variable:
            return parent.result
        if isinstance(parent.result, dict) and variable in parent.result:
            return parent.result[variable]
        raise _without(parent, variable)

    return value


def _of_pickles(
    parent: ParentInput,
    stream: Any,
    buffers: Iterable[Any],
    namespace: dict[str, Any],
    memo: Mapping[int, object],
) -> Value:
    done = list[bool]()

    def apply(changes: Iterable[Changes]) -> None:
        done.append(True)
        applied(changes, memo, ())

    home: dict[str, Any] = payload.unpack_result(stream, buffers, namespace, memo, (list, apply))
    if not done:
        apply(home["changed"])
    bound: dict[str, object] = home["bound"]

    def value(variable: str) -> object:
        name = variable or RESULT
        if name in bound:
            return bound[name]
        if (why := home["left"].get(name)) is not None:
            raise CannotReceive(f"what the task {parent.label} made cannot travel: {why}")
        if not variable:
            return home.get("value")
        raise _without(parent, variable)

    return value


def _without(parent: ParentInput, variable: str) -> CannotReceive:
    return CannotReceive(
        f"the task {parent.label} returned no variable {variable!r}; name one that it binds, and "
        f"its `outputs` if it has any"
    )


def _stream(
    packed: Payload, size: int, maps: list[Any], rest: memoryview
) -> tuple[Any, memoryview]:
    if packed.pickle_blob:
        return maps.pop(0), rest
    return bytes(rest[:size]), rest[size:]


def _taken(maps: list[Any], count: int) -> list[Any]:
    taken, maps[:count] = maps[:count], []
    return taken

"""Opens what a task is sent: its variables, its folder, the results of other tasks. Part of the
child.
"""

from __future__ import annotations

import contextlib
import os
import types
from collections.abc import Mapping, Sequence
from typing import Any

from mecapy_jupyter.travel import checkpoints
from mecapy_jupyter.travel.changes.watch import Watch
from mecapy_jupyter.travel.environment import (
    held_objects,
    module_importer,
    open_figures,
    patches,
    prelude,
)
from mecapy_jupyter.travel.files import lay_out
from mecapy_jupyter.travel.files.index import Carried, Index
from mecapy_jupyter.travel.pickling import awaited, known_blobs, partial_result, payload
from mecapy_jupyter.wire import CALLED, CALLS
from mecapy_worker.child import earlier_folder, kept, parents, results
from mecapy_worker.child.shell import TaskShell
from mecapy_worker.shared.frames import Frame
from mecapy_worker.shared.messages import HomeMessage, TaskMessage


def opened(shell: TaskShell, task: TaskMessage, frame: Frame) -> Watch:
    """Bind the inputs in the namespace. Raises whatever opening them raises."""
    namespace = shell.user_ns
    namespace.update(task.inputs)
    own = task.payload.digests if task.payload else ()
    theirs = parents.digests(task)
    fds = kept.take(frame.fds) if task.checkpoint else frame.fds
    maps = [_map(fd, digest) for fd, digest in zip(fds, own + theirs, strict=True)]
    own_bytes = len(frame.body) - parents.stream_bytes(task)
    of_parents = maps[len(own) :], frame.body[own_bytes:]
    del maps[len(own) :]
    if task.payload is None:
        namespace.update(parents.open_all(task, *of_parents, namespace))
        return results.begin(shell, Watch({}, ()), Index())
    stream = maps.pop(0) if task.payload.pickle_blob else frame.body[:own_bytes]
    sent, prelude_sent = [Index()], dict[str, Any]()

    def install(first: dict[str, Any]) -> None:
        prelude_sent.update(first)
        if (carried := first.get("folder")) is not None:
            sent[:] = [_laid_out(shell, carried, maps)]
        prelude.install(first)
        if task.parents:
            awaited.results.update(parents.open_all(task, *of_parents, namespace))

    try:
        inputs = payload.unpack(stream, maps, namespace, on_prelude=install)
    except Exception as error:
        lost = list[str]()
        with contextlib.suppress(Exception):  # only the error's text needs it
            lost = partial_result.not_opened(stream, maps, namespace)
        raise results.NotOpened(lost) from error
    variables = inputs.variables
    if (figures := variables.pop(open_figures.CARRIED, None)) is not None:
        open_figures.put(figures)
    held = variables.pop(held_objects.CARRIED, {})
    prelude.begin(prelude_sent, variables.pop(patches.CARRIED, []), held)
    namespace.update(variables)
    _name_definitions(inputs.memo, namespace)
    module_importer.served.take(inputs.states, inputs.lost)
    if CALLS in variables:  # which of the calls a checkpoint is of would not be known
        checkpoints.disconnect()
    watch = (
        Watch.of_call(inputs.memo)
        if CALLED in variables
        else Watch(inputs.memo, variables.values(), namespace)
    )
    return results.begin(shell, watch, sent[0], figures)


def _laid_out(shell: TaskShell, carried: Carried, maps: Sequence[Any]) -> Index:
    """The cell begins in its folder, and the worker knows for which one that stands."""
    index = lay_out.lay_out(carried, maps, earlier_folder.take)
    folder = os.getcwd()  # noqa: PTH109 as in results
    os.environ["PWD"] = module_importer.served.folder = folder
    if index.home:
        shell.outgoing.send(HomeMessage(folder, index.home))
    return index


def _name_definitions(memo: Mapping[int, object], namespace: dict[str, Any]) -> None:
    """The notebook's classes and functions that came inside of something else are in `__main__` as
    well, where pickle looks for them.
    """
    for obj in memo.values():
        if isinstance(obj, (type, types.FunctionType)) and obj.__module__ == "__main__":
            name = obj.__qualname__
            if name.isidentifier() and name == obj.__name__:
                namespace.setdefault(name, obj)


def _map(fd: int, digest: str) -> Any:
    try:
        return known_blobs.map_blob(fd, digest)
    finally:
        os.close(fd)

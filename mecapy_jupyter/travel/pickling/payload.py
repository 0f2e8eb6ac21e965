"""Values as one stream of pickles with large buffers beside it. The kernel packs inputs and the
child opens them, then the other way round.

Both sides number objects equally: the pickler's memo gives each object a number, and the unpickler
gives the same object the same number (MEMOIZE counts on both sides). So a result names an input, or
any part of one, by its number, and it arrives in the notebook as the same object. Only the child
and the owner's kernel may import this module.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from mecapy_jupyter.travel.environment.module_state import States
from mecapy_jupyter.travel.garbage import uncollected
from mecapy_jupyter.travel.pickling import (
    array_views,
    awaited,
    deep_pickler,
    inputs,
    numbers,
    partial_result,
    stream_format,
)
from mecapy_jupyter.travel.pickling.deep_pickler import DeepPickler
from mecapy_jupyter.travel.pickling.folder_paths import FolderPaths
from mecapy_jupyter.travel.pickling.packed import (
    STATES,
    Opened,
    Packed,
    Shared,
    too_many,
)
from mecapy_jupyter.travel.pickling.pickler import (
    MOST_BUFFERS,
    Pickler,
    ResultPickler,
    Unpickler,
    opening,
)

T = TypeVar("T")


@uncollected()
def pack(
    values: Sequence[Any],
    namespace: dict[str, Any],
    *,
    prelude: Callable[[list[str]], Any] = list,
    states: Callable[[list[str]], States] = lambda _: {},
    cells: set[str] | None = None,
    beside: Sequence[memoryview] = (),
) -> Packed:
    """Packs inputs, each of `values` as a pickle of its own in one stream with one memo. Raises
    what pickling raises; `diagnose.why` explains it.

    `prelude` makes the first object, which is opened before all others, from the names of the
    user's own modules that the values need; before that, `cells` gets the files of their functions.
    `states`: the state of these modules, the same each time; what of it can travel is one more of
    the values, named `STATES`. It comes first if a value itself belongs to such a module.
    `beside`: more buffers, which the prelude reads.
    """
    left = dict[str, object]()
    written = _at_any_depth(
        lambda kind: inputs.written(kind or Pickler, values, namespace, states, left)
    )
    pickler, stream = written.pickler, written.stream
    if cells is not None:
        cells |= pickler.files
    first = prelude(written.modules)
    objects = pickler.numbered()
    count = len(objects)
    memo = awaited.without_results(numbers.without_temporary(objects))
    flags = numbers.written(memo, count)
    memo |= pickler.constants.values if pickler.constants else {}
    head, ahead, stream = inputs.with_head(first, flags, stream, written.state_bytes)
    buffers = (*ahead, *pickler.buffers, *beside)
    if len(buffers) > MOST_BUFFERS:
        raise too_many(len(buffers), MOST_BUFFERS)
    return Packed(head + stream, buffers, memo, pickler.modules, first, left, ahead)


def _at_any_depth(write: Callable[[type[DeepPickler] | None], T]) -> T:
    """Quickly, or with the pickler for graphs that are too deep for pickle."""
    with deep_pickler.limited_recursion():
        try:
            return write(None)
        except Exception as error:
            if not deep_pickler.is_too_deep(error):
                raise
            return write(DeepPickler)


@uncollected()
def pack_result(
    value: Any,
    namespace: dict[str, Any],
    known: Mapping[int, int],
    arrays: Iterable[object] = (),
    whole: Iterable[object] = (),
    first: Sequence[object] = (),
    folder: str = "",
) -> tuple[Packed, frozenset[int]]:
    """Packs a result in which objects of `known` (id → number) are written as their number, and
    paths in `folder` so that they lead into the folder of the other side.

    Also returns the numbers that were used. `first`: parts that the other side gets before the
    rest. `arrays`: arrays that may be views of each other, known ones included; `whole`: arrays to
    write in full nevertheless.
    """

    def written(
        kind: type[ResultPickler], shared: Shared | None = None
    ) -> tuple[Packed, frozenset[int]]:
        file = io.BytesIO()
        pickler = kind(file, namespace, with_globals=False, on_own=inputs.nobody)
        pickler.known, pickler.met, pickler.paths = known, set[int](), FolderPaths(folder)
        roots = {**array_views.roots(arrays), **(shared.roots if shared else {})}
        pickler.keep(Shared(roots, shared.namespaces if shared else ()), whole)
        for part in (*first, value):
            pickler.dump(part)
        if shared is None and (more := pickler.copied()):
            return written(kind, more)
        stream = stream_format.HEAD + file.getvalue()
        return Packed(stream, tuple(pickler.buffers), {}), frozenset(pickler.met)

    return _at_any_depth(lambda kind: written(kind or ResultPickler))


@uncollected()
def unpack(
    stream: Any,
    buffers: Iterable[Any],
    namespace: dict[str, Any],
    *,
    on_prelude: Callable[[Any], object],
) -> Opened:
    """Open the output of `pack`. `on_prelude` gets the first object before the rest is opened."""
    file, buffers, numbered = inputs.after_head(stream, buffers, on_prelude)
    unpickler = Unpickler(file, buffers=buffers)
    start, lost = file.tell(), dict[str, str]()
    try:
        opened = _load_all(unpickler, file, namespace)
    except Exception as trouble:
        file.seek(start)
        opened, lost = _without_lost_states(file, buffers, namespace, trouble)
    memo = numbers.chosen(opened.memo, numbered)
    memo.update(unpickler.constants.values)
    return Opened(opened.values, memo, lost)


def _without_lost_states(
    file: io.BytesIO, buffers: Iterable[Any], namespace: dict[str, Any], trouble: Exception
) -> tuple[Opened, dict[str, str]]:
    """What can be opened, and the modules of the user whose state cannot, with the reason: the task
    may not import them. Raises `trouble` where a variable cannot be opened.
    """
    careful, why = partial_result.loader(file, buffers, {})
    opened, lost = _load_all(careful, file, namespace), dict[str, str]()
    for states in [part[STATES] for part in opened.values if STATES in part]:
        lost |= partial_result.take_lost(states, why)
    if not lost or any(why(part) for part in opened.values):
        raise trouble
    return opened, lost


@uncollected()
def unpack_result(
    stream: Any,
    buffers: Iterable[Any],
    namespace: dict[str, Any],
    originals: Mapping[int, object],
    on_first: Iterable[Callable[[Any], object]] = (),
) -> Any:
    """Open the output of `pack_result`; numbers become the `originals`. `on_first`: called with the
    parts before the rest, each with its own.
    """
    file = stream_format.begin(stream)
    unpickler = Unpickler(file, buffers=buffers)
    unpickler.originals = originals
    return _last(unpickler.load, file, namespace, on_first)


def salvage_result(
    stream: Any,
    buffers: Iterable[Any],
    namespace: dict[str, Any],
    originals: Mapping[int, object],
) -> tuple[dict[str, Any], Callable[[object], str]]:
    """Open the output of `pack_result` for a dict as far as possible; see `partial_result`."""
    file = stream_format.begin(stream)
    careful, why = partial_result.loader(file, buffers, originals)
    return _last(careful.load, file, namespace, ()), why


def _last(
    load: Callable[[], Any],
    file: io.BytesIO,
    namespace: dict[str, Any],
    on_first: Iterable[Callable[[Any], object]],
) -> Any:
    end, loaded, steps = file.getbuffer().nbytes, list[Any](), iter(on_first)
    with opening(namespace):
        while file.tell() < end:
            if loaded:
                next(steps, list)(loaded.pop())
            loaded.append(load())
    return loaded[0]


def _load_all(unpickler: Any, file: io.BytesIO, namespace: dict[str, Any]) -> Opened:
    end = file.getbuffer().nbytes
    values: list[Any] = []
    with opening(namespace):
        while file.tell() < end:
            values.append(unpickler.load())
    return Opened(tuple(values), unpickler.memo.copy())

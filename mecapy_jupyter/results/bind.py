"""Opens an outcome's payload in its owner's kernel and applies it: variables, in-place changes,
value, exception.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import posixpath
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from mecapy_jupyter import wire
from mecapy_jupyter.capture.diagnose import size_estimate
from mecapy_jupyter.results import apply_changes
from mecapy_jupyter.shared import errors, units
from mecapy_jupyter.shared.units import size as written
from mecapy_jupyter.travel.changes import setters
from mecapy_jupyter.travel.changes.applied import Applied, applied
from mecapy_jupyter.travel.changes.watch import Changes
from mecapy_jupyter.travel.environment import (
    figure_formats,
    open_figures,
    process_state,
    repeated_import,
)
from mecapy_jupyter.travel.environment.open_figures import OpenFigures
from mecapy_jupyter.travel.files.collect import Collected
from mecapy_jupyter.travel.pickling import partial_result, payload, tracebacks

_LARGE_BYTES = 1_000_000
_OF_THE_SHELL = frozenset({"_exit_code"})


@dataclass(frozen=True, slots=True)
class Home:
    """What came home. `left`: what did not, by name, with the reason; `changed`: input objects
    changed in place; `swaps`: those that need a new object; `replaced`: their names; `aside`:
    spared originals, and new objects with their changes; `folder`: files that the cell wrote;
    `figures`: open figures of pyplot at the end, or None; `caches`: of functions, that it filled.
    """

    bound: dict[str, Any] = field(default_factory=dict[str, Any])
    deleted: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict[str, str])
    changed: tuple[object, ...] = ()
    swaps: tuple[tuple[object, object], ...] = ()
    replaced: tuple[str, ...] = ()
    aside: tuple[tuple[object, object], ...] = ()
    value: Any = None
    exception: BaseException | None = None
    trail: tracebacks.Trail | None = None
    process_state: dict[str, Any] = field(default_factory=dict[str, Any])
    folder: Collected = field(default_factory=Collected)
    figures: OpenFigures | None = None
    caches: tuple[str, ...] = ()


def open_outcome(
    outcome: wire.Outcome,
    fetch: Callable[[str], Any],
    namespace: dict[str, Any],
    memo: Mapping[int, object],
    spared: Collection[int] = (),
    inputs: Mapping[str, Any] | None = None,
) -> Home:
    """Open the payload and apply in-place changes to the originals in `memo`.

    `fetch`: digest → writable bytes. `spared`: originals (by number) that changed here meanwhile
    and keep their content; `inputs`: originals that are not variables. Raises CannotReceive if a
    part cannot be opened here.
    """
    if (packed := outcome.payload) is None:
        return Home()
    stream = fetch(packed.pickle_blob) if packed.pickle_blob else packed.pickle
    each = list[Applied]()

    def apply(changes: Iterable[Changes]) -> None:
        each[:] = [applied(changes, memo, spared)]

    home = _opened(stream, lambda: map(fetch, packed.buffers), namespace, memo, apply)
    if not each:
        apply(home["changed"])
    (done,) = each
    swaps, named = tuple(done.swaps), {**(inputs or {}), **namespace}
    replaced, lost = apply_changes.named(swaps, named) if swaps else ((), {})
    exception: dict[str, Any] = home.get("exception") or {}
    new = {id(original): content for original, content in swaps}
    return Home(
        {name: new.get(id(value), value) for name, value in home["bound"].items()},
        tuple(home["deleted"]),
        home["left"] | lost | apply_changes.failed(done.failed, named),
        tuple(done.changed),
        swaps,
        replaced,
        tuple(
            (memo[number], setters.twin(memo[number], held)) for number, held in done.aside.items()
        ),
        home.get("value"),
        exception.get("error"),
        exception.get("trail"),
        home["ambient"],
        home.get("folder") or Collected(),
        home.get("figures"),
        home.get("caches", ()),
    )


def _opened(
    stream: Any,
    buffers: Callable[[], Iterable[Any]],
    namespace: dict[str, Any],
    memo: Mapping[int, object],
    apply: Callable[[Iterable[Changes]], None],
) -> dict[str, Any]:
    """The result's dict, without the parts that cannot be opened here. The modules of the user that
    the cell imported are imported first, because a change may be in what their import changes.
    In-place changes are applied before the rest is opened, because a new dict needs the hashes of
    its keys.
    """
    steps = repeated_import.imported, apply
    try:
        return payload.unpack_result(stream, buffers(), namespace, memo, steps)
    except errors.MecapyError:
        raise
    except Exception as error:
        trouble = error
    try:
        home, why = payload.salvage_result(stream, buffers(), namespace, memo)
        names = {id(value): name for name, value in namespace.items() if not name.startswith("_")}
        partial_result.keep_what_is_whole(
            home, why, lambda number: names.get(id(memo[number]), "an input")
        )
        apply(home["changed"])
    except errors.MecapyError:
        raise
    except Exception:
        todo = (
            "Install it here too"
            if isinstance(trouble, ImportError)
            else "Use `-o` to bring home other variables"
        )
        problem = f"{type(trouble).__name__}: {trouble}"
        raise errors.CannotReceive(
            f"the cell ran, but its result cannot be opened here: {problem}. {todo}."
        ) from trouble
    return home


def into(namespace: dict[str, Any], home: Home) -> list[str]:
    """Bind the variables in the namespace, as if the cell had run there. Returns the new and
    changed names.
    """
    swapped = setters.rebind(namespace, home.swaps)
    namespace.update(home.bound)
    process_state.take(home.process_state)
    if any(
        str(type(value).__module__).startswith("matplotlib.")
        for value in (*home.bound.values(), *home.changed, home.value)
    ):
        figure_formats.ready()
    if home.figures is not None:
        open_figures.put(home.figures)
    for name in home.deleted:
        namespace.pop(name, None)
    touched = {id(obj) for obj in home.changed}
    changed = [
        name
        for name, value in namespace.items()
        if id(value) in touched and not name.startswith("_") and name not in home.bound
    ]
    return list(dict.fromkeys([*home.bound, *swapped, *changed]))


def with_inputs(home: Home, inputs: Mapping[str, Any], namespace: Mapping[str, Any]) -> Home:
    """Results without the cell's own inputs (a restarted kernel): inputs changed in place become
    variables. If only parts of them changed, all inputs come whose name is free here. Without
    inputs, the results are the same object, whose variables are the task's.
    """
    if not inputs:
        return home
    names = {
        name: value
        for name, value in inputs.items()
        if name.isidentifier() and not issubclass(type(value), types.ModuleType)
    }
    touched, tops = {id(obj) for obj in home.changed}, {id(value) for value in names.values()}
    inner = bool(touched - tops)
    new = {id(original): replacement for original, replacement in home.swaps}
    more = {
        name: new.get(id(value), value)
        for name, value in names.items()
        if id(value) in touched or (inner and name not in namespace)
    }
    return dataclasses.replace(home, bound=more | home.bound)


def raised(outcome: wire.Outcome, home: Home, rename: Callable[[str], str] = str) -> BaseException:
    """The exception of an outcome. `rename`: the worker's file names → the notebook's."""
    error = outcome.error
    if outcome.state == wire.CANCELLED:
        when = "" if outcome.stopped_s is None else f" and stopped after {outcome.stopped_s:.1f} s"
        return errors.TaskCancelled(f"the task was cancelled{when}")
    if error is None:
        return errors.TaskFailed(
            "the task failed, and its worker gave no reason; run it again, and if it fails again "
            "tell the operators"
        )
    if error.kind != "cell":
        return errors.BY_KIND.get(error.kind, errors.TaskFailed)(error.message)
    exception = home.exception
    if exception is None or not _tells(exception):
        exception = errors.CellError(f"{error.type}: {error.message}")
    if home.trail is not None:
        exception = exception.with_traceback(
            tracebacks.traceback(tracebacks.renamed(home.trail, rename))
        )
    return exception


def _tells(exception: BaseException) -> bool:
    """Whether its text is complete: it may be built from attributes that could not travel."""
    try:
        str(exception)
    except Exception:
        return False
    return True


def not_there(home: Home, wanted: Iterable[str]) -> list[str]:
    """The names (not globs) of `-o` that the cell did not bind."""
    return [
        name
        for name in wanted
        if name.isidentifier() and name not in home.bound and name not in home.left
    ]


def kept_nothing(home: Home, keep: Iterable[str]) -> list[str]:
    """The patterns of `--keep` that no file of the cell matched."""
    return [
        f"`--keep {pattern}`: the cell left no such file"
        for pattern in keep
        if not fnmatch.filter(home.folder.files, posixpath.normpath(pattern).replace("**/", "*"))
    ]


def remarks(home: Home, task_id: str) -> list[str]:
    """Remarks on a result: what did not come, and which other files the cell wrote."""
    lines = [f"{name} did not come home: {why}" for name, why in home.left.items()]
    if home.replaced:
        are = "is a new object" if len(home.replaced) == 1 else "are new objects"
        lines.append(
            f"{units.listed(home.replaced)} could not be changed in place and {are}; "
            "other references keep the old one"
        )
    if links := home.folder.links:
        path, target = links[0]
        lines.append(
            f"the cell also made the link{'s' * (len(links) > 1)} "
            f"{units.listed([path for path, _ in links])}, which did not come home; "
            f"`os.symlink({target!r}, {path!r})` makes it here"
        )
    if stays := home.folder.stays:
        here = next((name for name, (_, is_kept) in stays.items() if is_kept), "")
        ways = [f"`%mecapy get {task_id[:8]} {here}` brings it here"] if here else []
        large = next((name for name, (_, is_kept) in stays.items() if not is_kept), "")
        ways += [f"`--keep {large}` next time"] if large else []
        listed = units.listed([f"{name} ({units.size(size)})" for name, (size, _) in stays.items()])
        lines.append(f"the cell also wrote {listed}, which did not come home; {', '.join(ways)}")
    return lines


def came_back(namespace: Mapping[str, Any], home: Home, names: Iterable[str]) -> list[str]:
    """The names for the live block: large ones first, with their size and whether they changed in
    place, without mere imports.
    """
    large, found = list[tuple[int, str]](), list[str]()
    for name in (name for name in names if name not in _OF_THE_SHELL):
        if name not in home.bound:
            found.append(f"{name} changed")
        elif name in namespace and not _imported(namespace[name]):
            size = size_estimate(namespace[name])
            if size >= _LARGE_BYTES:
                large.append((size, f"{name} ({written(size)})"))
            else:
                found.append(name)
    return [text for _, text in sorted(large, key=lambda one: -one[0])] + found


def _imported(value: object) -> bool:
    """A module, or a function or class of one."""
    kind = type(value)
    if issubclass(kind, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
        return cast(Any, value).__module__ != "__main__"
    return issubclass(kind, types.ModuleType)

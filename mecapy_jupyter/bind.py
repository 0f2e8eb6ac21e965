"""An outcome's payload opened in its owner's kernel, and put where it belongs: variables, changes in place, value, exception.

Before it: `cell` and `client`. Beside it: `payload` (opens), `inplace` (applies changes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import ambient, errors, files, inplace, payload, trails, wire
from .diagnose import size_estimate

_LARGE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Home:
    """What came home. `left`: variables that could not travel, with the reason; `changed`: input objects changed in place."""

    bound: dict[str, Any] = field(default_factory=dict[str, Any])
    deleted: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict[str, str])
    changed: tuple[object, ...] = ()
    swaps: tuple[tuple[object, object], ...] = ()
    value: Any = None
    exception: BaseException | None = None
    trail: dict[str, Any] | None = None
    ambient: dict[str, Any] = field(default_factory=dict[str, Any])
    files: files.Files = field(default_factory=dict[str, Any])


def open_outcome(outcome: wire.Outcome, fetch: Callable[[str], Any], namespace: dict[str, Any], memo: Mapping[int, object]) -> Home:
    """Open the payload and apply what changed in place to the originals in `memo`. `fetch`: digest → writable bytes.

    Raises CannotReceive when something in it cannot be opened here.
    """
    if outcome.payload is None:
        return Home()
    stream = fetch(outcome.payload.pickle_blob) if outcome.payload.pickle_blob else outcome.payload.pickle
    try:
        opened = payload.unpack_result(stream, map(fetch, outcome.payload.buffers), namespace, memo)
    except errors.MecapyError:
        raise
    except Exception as error:
        todo = "Install it here too" if isinstance(error, ImportError) else "Use `-o` to bring home other variables"
        said = f"{type(error).__name__}: {error}"
        raise errors.CannotReceive(f"the cell ran, but its result cannot be opened here: {said}. {todo}.") from error
    home: dict[str, Any] = opened.values[0]
    changes = [(memo[number], kind, content) for number, (kind, content) in home["changed"].items()]
    swaps = tuple((original, content) for original, kind, content in changes if not inplace.apply(original, kind, content))
    exception: dict[str, Any] = home.get("exception") or {}
    return Home(
        home["bound"],
        tuple(home["deleted"]),
        home["left"],
        tuple(original for original, _, _ in changes),
        swaps,
        home.get("value"),
        exception.get("error"),
        exception.get("trail"),
        home["ambient"],
        home["files"],
    )


def into(namespace: dict[str, Any], home: Home) -> list[str]:
    """Put the variables into the namespace, as if the cell had run in it. Returns the names that are new or changed."""
    swapped = inplace.rebind(namespace, home.swaps)
    new = {id(old): content for old, content in home.swaps}
    namespace.update({name: new.get(id(value), value) for name, value in home.bound.items()})
    ambient.take(home.ambient)
    files.lay_out(home.files, Path.cwd())
    for name in home.deleted:
        namespace.pop(name, None)
    touched = {id(obj) for obj in home.changed}
    changed = [name for name, value in namespace.items() if id(value) in touched and not name.startswith("_") and name not in home.bound]
    return list(dict.fromkeys([*home.bound, *swapped, *changed]))


def raised(outcome: wire.Outcome, home: Home, rename: Callable[[str], str] = str) -> BaseException:
    """The exception to raise for an outcome that is not completed. `rename`: the worker's file names → the notebook's."""
    error = outcome.error
    if outcome.state == wire.CANCELLED:
        return errors.TaskCancelled("the task was cancelled")
    if error is None:
        return errors.TaskFailed("the task failed, and the worker gave no reason")
    if error.kind != "cell":
        return errors.BY_KIND.get(error.kind, errors.TaskFailed)(error.message)
    exception = home.exception or errors.CellError(f"{error.type}: {error.message}")
    if home.trail is not None:
        exception = exception.with_traceback(trails.traceback(trails.renamed(home.trail, rename)))
    return exception


def came_back(namespace: Mapping[str, Any], home: Home, names: Iterable[str]) -> list[str]:
    """The names as the live block shows them: large ones with their size, and which were changed in place."""
    found: list[str] = []
    for name in names:
        if name not in home.bound:
            found.append(f"{name} changed")
        elif name in namespace:
            size = size_estimate(namespace[name])
            found.append(f"{name} ({size / 1e6:.3g} MB)" if size >= _LARGE_BYTES else name)
    return found

"""A finished cell's variables and changes as one pickle. What cannot travel is left out and
named.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, cast

from mecapy_jupyter.shared.units import listed
from mecapy_jupyter.travel.changes.changes import Changes
from mecapy_jupyter.travel.changes.watch import Watch
from mecapy_jupyter.travel.pickling import payload
from mecapy_worker.child import home_paths
from mecapy_worker.child.imports import is_users

_PYTHONS = "name|doc|builtins?|package|loader|spec|file|cached|session|warningregistry"
HIDDEN = re.compile(rf"_+(\d*|i+\d*|oh|dh|ih)|In|Out|get_ipython|__({_PYTHONS})__")
"""Names of the shell and of Python, not the user's."""


@dataclass(frozen=True, slots=True)
class _SentInputs:
    """What a result may name by number, and the namespace of functions in the notebook."""

    watch: Watch
    namespace: dict[str, Any]
    known: dict[int, int]
    arrays: list[object]
    folder: str

    def packed(
        self,
        value: Any,
        arrays: Iterable[object] = (),
        whole: Iterable[object] = (),
        first: Sequence[object] = (),
    ) -> tuple[payload.Packed, frozenset[int]]:
        views = [*self.arrays, *arrays]
        return payload.pack_result(
            value, self.namespace, self.known, views, whole, first, self.folder
        )

    def names_the_folder(self, value: Any) -> bool:
        """Whether it would come home with the path of the task's folder."""
        if self.trouble(value) is not None:
            return False
        packed, _ = self.packed(value)
        return home_paths.named_in((packed.stream, *packed.buffers))

    def trouble(self, value: Any) -> str | None:
        """Why a value cannot travel."""
        try:
            self.packed(value)
        except Exception as error:
            return str(error) or type(error).__name__
        return None


def pack(
    home: dict[str, Any],
    namespace: dict[str, Any],
    watch: Watch,
    *,
    everything: bool,
    unnumbered: tuple[type, ...] = (),
    folder: str = "",
) -> payload.Packed:
    """Pack `home` with the changed inputs: all of them, or with `-o` those that the results refer
    to. Objects of types that are `unnumbered` are written out. `folder`: the task's.
    """
    changed, known = watch.changed(), watch.known()
    if unnumbered:
        without = {id(one) for one in watch.objects().values() if isinstance(one, unnumbered)}
        known = {at: number for at, number in known.items() if at not in without}
    sent = _SentInputs(watch, namespace, known, watch.arrays(), folder)
    home["changed"] = changed if everything else []
    packed, met = _pack_what_can(home, sent)
    if home_paths.named_in((packed.stream, *packed.buffers)):
        _say_who_names_the_folder(home, sent)
    if everything or not changed:
        return packed
    numbers, more = {number for one in changed for number in one.numbers}, set[int]()
    while (held := _held(met, sent) & numbers) - more:
        more |= held
        home["changed"] = [one.only(more) for one in changed]
        packed, met = _pack_what_can(home, sent)
    return packed


def _say_who_names_the_folder(home: dict[str, Any], sent: _SentInputs) -> None:
    """In a form that is not translated: inside an archive or a pickle, for one."""
    names = [name for name, value in home["bound"].items() if sent.names_the_folder(value)]
    objects = sent.watch.objects()
    for changes in home["changed"]:
        for number, parts in changes:
            if sent.names_the_folder(parts):
                names.append(_name_of(objects[number], sent.namespace))
    files = home["folder"].files
    names += [name for name, content in files.items() if home_paths.named_in((content,))]
    if names := [name for name in dict.fromkeys(names) if name]:
        print(
            f"mecapy: {listed(names)} {'holds' if len(names) == 1 else 'hold'} the path of the "
            "task's folder, which could not be changed to the notebook's; use a relative path",
            file=sys.stderr,
        )


def _held(numbers: frozenset[int], sent: _SentInputs) -> set[int]:
    """These inputs and those inside them at any depth: a changed array in a list, a matrix, a
    requested object.
    """
    objects, held, new = sent.watch.objects(), set[int](), set(numbers)
    while new:
        number = new.pop()
        held.add(number)
        obj = objects[number]
        here = sent.known.pop(id(obj), None)
        with contextlib.suppress(Exception):  # what cannot be pickled is reported elsewhere
            new |= sent.packed(obj)[1] - held
        if here is not None:
            sent.known[id(obj)] = here
    return held


def _pack_what_can(
    home: dict[str, Any], sent: _SentInputs
) -> tuple[payload.Packed, frozenset[int]]:
    try:
        return _packed(home, sent)
    except Exception:
        _leave_behind(home, sent)
        return _packed(home, sent)


def _packed(home: dict[str, Any], sent: _SentInputs) -> tuple[payload.Packed, frozenset[int]]:
    arrays = [*home["bound"].values(), home.get("value")]
    whole = [array for one in home["changed"] if one.kind == "array" for array in one.parts]
    return sent.packed(home, arrays, whole, first=[home["imported"], home["changed"]])


def _leave_behind(home: dict[str, Any], sent: _SentInputs) -> None:
    """Remove from `home` each variable, change, value or exception that cannot be pickled, and note
    the reason.
    """
    for name, value in list(home["bound"].items()):
        if (why := sent.trouble(value)) is not None:
            del home["bound"][name]
            if not _is_spent(value):
                home["left"][name] = _left(value, why)
    objects = sent.watch.objects()
    home["changed"] = [_that_can(home, one, sent, objects) for one in home["changed"]]
    if "figures" in home and (why := sent.trouble(home["figures"])) is not None:
        del home["figures"]
        home["left"]["pyplot's open figures"] = f"{why}; save what they show in the cell"
    if "value" in home and sent.trouble(home["value"]) is not None:
        del home["value"]
    if "exception" in home and sent.trouble(home["exception"]) is not None:
        _lighten(home["exception"]["error"], sent)
        if sent.trouble(home["exception"]) is not None:
            del home["exception"]


def _left(value: object, why: str) -> str:
    return (
        f"{type(value).__name__}: {why}; bind what you need of it as numbers, arrays or text, in "
        f"the cell"
    )


def _that_can(
    home: dict[str, Any], changes: Changes, sent: _SentInputs, objects: dict[int, object]
) -> Changes:
    """Those of the changes that can be pickled."""
    if sent.trouble(changes.parts) is None:
        return changes
    can = set[int]()
    for number, parts in changes:
        if (why := sent.trouble(parts)) is None:
            can.add(number)
        elif name := _name_of(objects[number], sent.namespace):
            home["left"][name] = _left(objects[number], why)
    return changes.only(can)


def _is_closed(connection: Any) -> bool:
    try:
        connection.total_changes  # noqa: B018 asked for
    except Exception:  # sqlite3.ProgrammingError, without importing it
        return True
    return False


_SPENT: dict[tuple[str, str], Callable[[Any], bool]] = {
    ("h5py._hl.files", "File"): lambda file: not file,
    ("zipfile", "ZipFile"): lambda file: file.fp is None,
    ("multiprocessing.pool", "Pool"): lambda pool: pool._state != "RUN",
    ("sqlite3", "Connection"): _is_closed,
}


def _is_spent(value: object) -> bool:
    """Leftovers of a `with` block, such as a closed file or a finished executor, which nobody
    misses.
    """
    kind = type(value).__module__, type(value).__qualname__
    if kind in _SPENT:
        return _SPENT[kind](value)
    if issubclass(type(value), io.IOBase):
        try:
            return cast(io.IOBase, value).closed
        except Exception:  # an incomplete or user-defined object may not know
            return False
    return issubclass(type(value), Executor) and bool(
        vars(value).get("_shutdown") or vars(value).get("_shutdown_thread")
    )


def _name_of(changed: object, namespace: dict[str, Any]) -> str:
    """The name of an input whose change cannot travel; empty for inner parts of a library's
    objects, usually caches.
    """
    names = [
        name for name, value in namespace.items() if value is changed and not HIDDEN.fullmatch(name)
    ]
    if names:
        return names[0]
    cls = type(changed)
    return f"a {cls.__name__}" if is_users(str(cls.__module__)) else ""


def _lighten(error: BaseException, sent: _SentInputs) -> None:
    """Remove attributes that cannot travel from an exception, because class and message matter
    more.
    """
    for name, value in list(vars(error).items()):
        if sent.trouble(value) is not None:
            del vars(error)[name]
    for name in ("__cause__", "__context__"):
        if sent.trouble(getattr(error, name)) is not None:
            setattr(error, name, None)

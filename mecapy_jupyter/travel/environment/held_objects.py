"""The notebook's objects that Python and libraries hold: handlers of signals, formatters, filters
of loggers, numpy's error call. `process_state` carries copies, which are there before the variables
are opened. These travel with the variables and take the place of the copies, so that what a handler
counts is what the notebook's variable counts, on the worker and at home.
"""

from __future__ import annotations

import functools
import logging
import signal
import sys
from collections.abc import Collection, Iterator
from typing import Any, cast

from IPython.core.getipython import get_ipython

from mecapy_jupyter.travel.environment import import_hook, signal_state, state_pickler
from mecapy_jupyter.travel.environment.logging_records import loggers, notebooks_filters

CARRIED = "what Python and libraries hold of the notebook"
"""Their name among the inputs of a cell."""
Held = dict[tuple[Any, ...], Any]
"""Kind of place and where in it → the object."""


def now() -> Held:
    """What stands in each place, if it is the notebook's."""
    return {place: one for place, one in _standing() if _is_notebooks(one)}


def among(known: Collection[int]) -> Held:
    """Those that came with the variables; `known`: by id."""
    return {place: one for place, one in now().items() if id(one) in known}


_STATES = {"signal": "signals", "error call": "numpy.errcall", "formatter": "formatters"}
"""Kind of place → its kind of state in `process_state`."""


def without_copies(ambient: dict[str, Any], before: Held) -> dict[str, Any]:
    """Changed state without the copies of what stands where it stood: what an object has counted
    does not make it another one, and a copy's class would set the notebook's class anew.
    """
    after = now()
    differ = {
        place
        for place in before.keys() | after.keys()
        if before.get(place, before) is not after.get(place, after)
    }
    kinds = {place[0] for place in differ}
    same = {state for kind, state in _STATES.items() if kind not in kinds}
    kept = {name: state for name, state in ambient.items() if name not in same}
    if (settings := kept.get("logging.settings")) is not None:
        others = {
            name: data
            for name, data in settings["filters"].items()
            if any(
                ("filter", name, at) in differ or ("filter", name, at) not in after
                for at in range(len(notebooks_filters(logging.getLogger(name or None))))
            )
        }
        kept["logging.settings"] = settings | {"filters": others}
    return kept


def put(held: Held) -> None:
    """Let each stand in its place."""
    for (kind, *where), one in held.items():
        try:
            _PUT[kind](one, *where)
        except Exception as error:
            print(
                f"mecapy: the {kind} of the notebook could not be set ({type(error).__name__}: "
                f"{error}); set it in the cell",
                file=sys.stderr,
            )


def _is_notebooks(one: object) -> bool:
    return state_pickler.is_users(one) or type(one).__module__ == "__main__"


def _standing() -> Iterator[tuple[tuple[Any, ...], Any]]:
    for number, handler in signal_state.handlers().items():
        yield ("signal", number), handler
    if (numpy := cast(Any, sys.modules.get("numpy"))) is not None:
        yield ("error call",), numpy.geterrcall()
    for name, logger in loggers().items():
        for at, one in enumerate(notebooks_filters(logger)):
            yield ("filter", name, at), one
    shell: Any = get_ipython()
    formatters: dict[str, Any] = shell.display_formatter.formatters if shell is not None else {}
    for mime, formatter in formatters.items():
        for kind, function in formatter.type_printers.items():
            yield ("formatter", mime, kind), function


def _put_signal(handler: Any, number: int) -> None:
    signal.signal(number, handler)


def _put_error_call(function: Any) -> None:
    import_hook.when_imported("numpy", functools.partial(_set_error_call, function))


def _set_error_call(function: Any) -> None:
    sys.modules["numpy"].seterrcall(function)


def _put_filter(one: Any, logger: str, at: int) -> None:
    """In the place of its copy. Where one did not travel, others stand at its place."""
    holder = logging.getLogger(logger or None)
    copies = notebooks_filters(holder)[at : at + 1]
    if copies and type(copies[0]).__qualname__ == type(one).__qualname__:
        place = next(n for n, each in enumerate(holder.filters) if each is copies[0])
        holder.filters[place] = one


def _put_formatter(function: Any, mime: str, kind: type) -> None:
    shell: Any = get_ipython()
    shell.display_formatter.formatters[mime].for_type(kind, function)


_PUT: dict[str, Any] = {
    "signal": _put_signal,
    "error call": _put_error_call,
    "filter": _put_filter,
    "formatter": _put_formatter,
}

"""State that a library takes but does not return: the calls that set it are recorded, and repeated
on the other side.
"""

from __future__ import annotations

import functools
import pickle
import sys
from typing import Any, cast

from mecapy_jupyter.travel.environment import import_hook, state_pickler
from mecapy_jupyter.travel.environment.state_kind import StateKind

CALLS: dict[str, tuple[str, ...]] = {
    "CoolProp.CoolProp": (
        *("set_reference_state", "set_config_bool", "set_config_double", "set_config_string"),
        *("set_config_int", "set_predefined_mixtures", "apply_simple_mixing_rule"),
        *("set_mixture_binary_pair_data", "add_fluids_as_JSON", "set_interaction_parameters"),
        "set_departure_functions",
    ),
    "codecs": ("register_error", "register"),
    "csv": ("register_dialect", "unregister_dialect", "field_size_limit"),
    "gettext": ("bindtextdomain", "textdomain"),
    "mimetypes": ("add_type",),
    "shutil": ("register_archive_format", "register_unpack_format"),
    "sqlite3": ("register_adapter", "register_converter", "enable_callback_tracebacks"),
    "xml.etree.ElementTree": ("register_namespace",),
    "zoneinfo": ("reset_tzpath",),
    "matplotlib.scale": ("register_scale",),
    "matplotlib.projections": ("register_projection",),
}
"""Module → functions that set state for the whole process."""
_NAMES = {"CoolProp.CoolProp": "CoolProp", "xml.etree.ElementTree": "XML namespaces"}

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
Sent = tuple[str, bytes]
"""A function's name, and its pickled arguments."""

_made: dict[str, list[Call]] = {}


def begin() -> None:
    """Record calls from here on, or from the library's import on."""
    for module in CALLS:
        import_hook.when_imported(module, functools.partial(_note_calls, module))


def functions() -> list[Any]:
    """Functions and classes of the notebook that the recorded calls gave to a library."""
    given = (
        value
        for calls in _made.values()
        for _, args, kwargs in calls
        for value in (*args, *kwargs.values())
    )
    return [value for value in given if state_pickler.is_users(value)]


def _sent(module: str) -> list[Sent] | None:
    calls = [
        (name, data)
        for name, *given in _made.get(module, ())
        if (data := state_pickler.dumps(given)) is not None
    ]
    return calls or None


def _again(module: str, calls: list[Sent]) -> None:
    _note_calls(module)
    library = sys.modules[module]
    _made[module] = []
    for name, data in calls:
        args, kwargs = pickle.loads(data)  # noqa: S301 our own state
        getattr(library, name)(*args, **kwargs)


def _note_calls(module: str) -> None:
    library: Any = sys.modules[module]
    for name in CALLS[module]:
        function = getattr(library, name, None)
        if function is not None and not hasattr(function, "_mecapy_notes"):
            setattr(library, name, _noting(module, name, function))


def _noting(module: str, name: str, function: Any) -> Any:
    def noting(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        call: Call = (name, args, kwargs)
        if args or kwargs:  # a call without a value only reads, as `csv.field_size_limit()`
            made = _made.setdefault(module, [])
            if call in made:
                made.remove(call)  # only the last one counts
            made.append(call)
        return result

    noted = cast(Any, functools.wraps(function)(noting))
    noted.__module__, noted.__qualname__ = module, name
    noted._mecapy_notes = True
    return noted


RECORDED: dict[str, StateKind] = {
    _NAMES.get(module, module): StateKind(
        module, functools.partial(_sent, module), functools.partial(_again, module)
    )
    for module in CALLS
}

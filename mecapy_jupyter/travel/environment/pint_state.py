"""pint: a registry travels as its own settings and the definitions it was given, and each quantity
with the registry it belongs to.

pint pickles quantities without their registry and cannot pickle a registry. Known for pint 0.23 to
0.25; tests/magic/test_library_state.py is the canary.
"""

from __future__ import annotations

import functools
import importlib
import sys
import uuid
import weakref
from typing import Any, cast

from mecapy_jupyter.travel.environment import import_hook
from mecapy_jupyter.travel.environment.state_kind import library

_SETTINGS = (
    *("auto_reduce_dimensions", "autoconvert_to_preferred", "autoconvert_offset_to_baseunit"),
    *("default_as_delta", "force_ndarray", "force_ndarray_like", "case_sensitive"),
    *("mpl_formatter", "separate_format_defaults"),
)
_KINDS = ("_dimensions", "_prefixes", "_units")
_marks: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_by_mark: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def reduced(obj: Any) -> Any:
    """How to write a registry, a quantity or a unit; None for anything else."""
    pint = sys.modules.get("pint")
    if pint is None:
        return None
    registry: Any = getattr(cast(object, type(obj)), "_REGISTRY", None)
    if isinstance(obj, _registry_class()):
        return _registry_again, (_mark(obj), _described(obj) | {"added": _contexts(obj)})
    if (
        registry is None
        or not hasattr(obj, "_units")
        or not isinstance(registry, _registry_class())
    ):
        return None
    if hasattr(obj, "_magnitude"):
        if hasattr(obj, "error") and hasattr(obj, "value"):
            return None  # a measurement: pint's own way
        return _quantity_again, (registry, obj._magnitude, dict(obj._units))
    return _unit_again, (registry, dict(obj._units))


def of_registry(cls: Any) -> Any:
    """How to write a class that a registry has made for itself (`ureg.Quantity`); None for any
    other.
    """
    stored: dict[str, Any] = {**vars(cls)}
    registry = stored.get("_REGISTRY")
    if registry is None or getattr(registry, cls.__name__, None) is not cls:
        return None
    return getattr, (registry, cls.__name__)


def is_registry(cls: type[Any]) -> bool:
    return "pint" in sys.modules and issubclass(cls, _registry_class())


def _registry_class() -> Any:
    return importlib.import_module("pint.registry").UnitRegistry


def _quantity_again(registry: Any, magnitude: Any, units: dict[str, Any]) -> Any:
    return registry.Quantity(magnitude, _units(registry, units))


def _unit_again(registry: Any, units: dict[str, Any]) -> Any:
    return registry.Unit(_units(registry, units))


def _units(registry: Any, units: dict[str, Any]) -> Any:
    for name in units:
        registry.parse_units(name)  # defines what has a prefix
    return registry.UnitsContainer(units)


def _mark(registry: Any) -> str:
    """What both sides call it."""
    if registry not in _marks:
        _marks[registry] = uuid.uuid4().hex
        _by_mark[_marks[registry]] = registry
    return _marks[registry]


def _described(registry: Any) -> dict[str, Any]:
    raw = _definitions(registry)
    default = registry._filename == "" or registry._filename is None
    fresh = _fresh() if registry._filename == "" else frozenset[str]()
    return {
        "filename": registry._filename if default else None,
        "on_redefinition": registry._on_redefinition,
        "non_int_type": registry._non_int_type,
        "settings": {
            name: getattr(registry, name) for name in _SETTINGS if hasattr(registry, name)
        },
        "format": registry.formatter.default_format,
        "system": registry._default_system_name,
        "preprocessors": list(registry.preprocessors),
        "definitions": [text for text in raw if text not in fresh],
        "contexts": [context.name for context in registry._active_ctx.contexts],
        "plots": _plots(registry),
    }


def _plots(registry: Any) -> bool:
    """After `registry.setup_matplotlib()`: axes know its units."""
    units: Any = sys.modules.get("matplotlib.units")
    return units is not None and registry.Quantity in units.registry


def _definitions(registry: Any) -> dict[str, None]:
    """The lines it was defined by, in their order. What has a prefix is derived, and has none."""
    held = (getattr(registry, kind) for kind in _KINDS)
    values = (value for kind in held for value in dict(kind).values())
    return dict.fromkeys(text for value in values if (text := getattr(value, "raw", "")))


@functools.cache
def _fresh() -> frozenset[str]:
    return frozenset(_definitions(_new()))


def _contexts(registry: Any) -> dict[str, Any]:
    """Those that pint's own file does not define, by name and alias."""
    fresh = _fresh_contexts() if registry._filename == "" else frozenset[str]()
    return {
        name: context
        for name, context in registry._contexts.items()
        if name not in fresh
        or not all(str(made.__module__).startswith("pint.") for made in context.funcs.values())
    }


@functools.cache
def _fresh_contexts() -> frozenset[str]:
    return frozenset(_new()._contexts)


@functools.cache
def _new() -> Any:
    return _registry_class()()


def _registry_again(mark: str, about: dict[str, Any]) -> Any:
    known = _by_mark.get(mark)
    if known is not None:
        _define(known, about)
        return known
    registry = _registry_class()(
        about["filename"],
        on_redefinition="ignore",
        non_int_type=about["non_int_type"],
        preprocessors=about["preprocessors"] or None,
    )
    _marks[registry], _by_mark[mark] = mark, registry
    _kept.append(registry)
    _define(registry, about)
    return registry


_kept: list[Any] = []
"""Alive as long as the task is: an application registry may be set before a variable names it."""


def _define(registry: Any, about: dict[str, Any]) -> None:
    has = _definitions(registry)
    registry._on_redefinition = "ignore"
    for text in about["definitions"]:
        if text not in has:
            registry.define(text)
    registry._on_redefinition = about["on_redefinition"]
    for name, value in about["settings"].items():
        if getattr(registry, name) != value:
            setattr(registry, name, value)
    if registry.formatter.default_format != about["format"]:
        registry.formatter.default_format = about["format"]
    if registry._default_system_name != about["system"]:
        registry.default_system = about["system"]
    if (plots := bool(about.get("plots"))) != _plots(registry):
        # which has imported matplotlib.units whole
        import_hook.when_imported("matplotlib.axis", lambda: registry.setup_matplotlib(plots))
    registry._contexts.update(about.get("added", {}))
    active = [context.name for context in registry._active_ctx.contexts]
    wanted = [name for name in about["contexts"] if name in registry._contexts]
    if active != wanted:
        registry.disable_contexts()
        registry.enable_contexts(*reversed(wanted))


def get() -> Any:
    """Every registry that travels, and the application's; None where there is none."""
    used = library("pint").application_registry.get()
    application = _mark(used) if isinstance(used, _registry_class()) else ""
    known = {mark: _described(registry) for mark, registry in sorted(_by_mark.items())}
    return (application, known) if known else None


def put(state: tuple[str, dict[str, dict[str, Any]]]) -> None:
    """Make them, or define in them what they lack; and name the application's."""
    application, registries = state
    for mark, about in registries.items():
        registry = _registry_again(mark, about)
        if mark == application:
            library("pint").application_registry.set(registry)

"""Pickles by name what exists on both sides: standard output, IPython's shell, and methods of a
module's single object (`numpy.random.normal`, `random.gauss`, `mpmath.sqrt`), so that one seed
controls one stream of numbers. Part of `pickler`.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections.abc import Callable
from typing import Any, cast

from mecapy_jupyter.travel.environment import user_modules

NATIVE = frozenset({"nb_func", "nb_method"})  # nanobind's functions cannot be pickled
GENERATORS = {"numpy.random.mtrand": "_rand", "random": "_inst"}
_STREAMS = ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__")


def reduced(obj: Any) -> Any:
    """How to pickle `obj` by name; None if it is none of these."""
    kind: Any = cast(Any, type(obj))
    if kind in (types.BuiltinFunctionType, types.MethodType) or kind.__name__ in NATIVE:
        return _of_stream(obj) or _of_module(obj)
    if is_of_process(obj):
        return attribute, (kind.__module__, GENERATORS[kind.__module__])
    if hasattr(kind, "run_cell_magic") and _shell() is obj:
        return _shell, ()
    if hasattr(kind, "write") and _is_standard(obj):
        return attribute, ("sys", next(name for name in _STREAMS if vars(sys).get(name) is obj))
    return handed_out(obj, str(kind.__module__))


def is_of_process(obj: Any) -> bool:
    """Whether it is a module's random number generator, whose state travels by itself."""
    home = type(obj).__module__
    return home in GENERATORS and vars(sys.modules[home]).get(GENERATORS[home]) is obj


def handed_out(obj: Any, home: str) -> tuple[Callable[[str, str], Any], tuple[str, str]] | None:
    """A package's own object or class (`mpmath.mp`, `mpmath.mpf`, `astropy.units.m`), by the public
    name under which its module `home`, or a parent, exports it.
    """
    if home.partition(".")[0] in _BY_VALUE:
        return None
    parts = home.split(".")
    above = (sys.modules.get(".".join(parts[:depth])) for depth in range(1, len(parts) + 1))
    modules = [module for module in above if module is not None]
    names = _public(home, tuple(len(vars(module)) for module in modules))
    if (found := names.get(id(obj))) is None:
        return None
    module, name = found
    return (attribute, found) if vars(sys.modules[module]).get(name) is obj else None


_BY_VALUE = frozenset({"builtins", "__main__", "numpy", "pandas"})


@functools.lru_cache(maxsize=4096)
def _public(home: str, _sizes: tuple[int, ...]) -> dict[int, tuple[str, str]]:
    """id → name of exported objects that pickle would not find by name."""
    found: dict[int, tuple[str, str]] = {}
    parts = home.split(".")
    for depth in range(len(parts), 0, -1):
        module = sys.modules.get(name := ".".join(parts[:depth]))
        if module is None or user_modules.is_own(module):
            continue
        for attribute_name, value in list(vars(module).items()):
            kind = cast("type[object]", type(value))
            handed = not attribute_name.startswith("_") and kind.__module__ not in _PLAIN
            if handed or issubclass(kind, type):
                found[id(value)] = name, attribute_name
    return found


_PLAIN = ("builtins", "typing")


def _shell() -> Any:
    ipython: Any = importlib.import_module("IPython.core.getipython")
    return ipython.get_ipython()


def _is_standard(obj: object) -> bool:
    return any(vars(sys).get(name) is obj for name in _STREAMS)


def _of_stream(obj: Any) -> tuple[Callable[[Any, str], Any], tuple[Any, str]] | None:
    """`sys.stdout.write`: the other side's stream is of another class, with methods of its own."""
    owner = getattr(obj, "__self__", None)
    if owner is None or not _is_standard(owner):  # no `bool(owner)`, which runs its code
        return None
    return getattr, (owner, obj.__name__)


def _of_module(obj: Any) -> tuple[Callable[[str, str], Any], tuple[str, str]] | None:
    """Found by the module that has it as an attribute."""
    owner = getattr(obj, "__self__", None)
    if owner is None and type(obj) is types.BuiltinFunctionType:
        return None
    if issubclass(type(owner), (type, types.ModuleType)):
        return None
    name = str(getattr(obj, "__name__", ""))
    homes = [str(type(owner).__module__), str(getattr(obj, "__module__", ""))]
    for home in homes:
        parts = home.split(".")
        for depth in range(len(parts), 0, -1):
            module = sys.modules.get(".".join(parts[:depth]))
            if module is None or module.__name__ in ("__main__", "builtins"):
                continue
            if vars(module).get(name) is obj and not user_modules.is_own(module):
                return attribute, (module.__name__, name)
    return None


def attribute(module: str, name: str) -> Any:
    """Called by the unpickler."""
    return getattr(importlib.import_module(module), name)

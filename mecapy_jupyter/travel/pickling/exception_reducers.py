"""Pickles an exception whatever its `__init__` takes, with cause, context and traceback. Part of
`pickler`. The functions named in the results run on the other side.
"""

from __future__ import annotations

import types
from typing import Any, cast

from mecapy_jupyter.travel.pickling import left_out, tracebacks


def reduced(error: BaseException) -> Any:
    """How to pickle an exception; None if pickle can."""
    taken: Any = _made(error) or left_out.reduced(error)
    links = error.__cause__, error.__context__, error.__suppress_context__
    args = error.args if _reduces_itself(error) and _are_plain(error.args) else None
    if links == (None, None, False) and error.__traceback__ is None and args is None:
        return taken
    if taken is None:
        taken = error.__reduce_ex__(5)
    parts = cast("tuple[Any, ...]", taken) if isinstance(taken, tuple) else ()
    if not parts or any(parts[3:]):
        return cast(Any, taken)  # by its own code
    make, arguments, *state = parts
    trail = tracebacks.of(error.__traceback__) if error.__traceback__ is not None else None
    return make, arguments, (state[0] if state else None, args, *links, trail), None, None, _link


def _made(error: BaseException) -> Any:
    """pickle calls the class with `args`, which few classes with their own `__init__` accept."""
    cls = type(error)
    if not isinstance(cls.__init__, types.FunctionType):
        return None
    if _reduces_itself(error):
        return None
    return _again, (cls, error.args), vars(error)


def _reduces_itself(error: BaseException) -> bool:
    """Whether its class has its own pickling, which may make other `args`."""
    how = (getattr(type(error), name) for name in ("__reduce__", "__reduce_ex__"))
    return any(isinstance(one, types.FunctionType) for one in how)


def _are_plain(args: tuple[Any, ...]) -> bool:
    return all(one is None or type(one) in _PLAIN for one in args)


_PLAIN = frozenset({bool, int, float, complex, str, bytes})


def _again(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    builtin: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    error = builtin.__new__(cls, *args)
    builtin.__init__(error, *args)
    return error


def _link(error: BaseException, state: tuple[Any, ...]) -> None:
    attributes, args, cause, context, suppress, trail = state
    if attributes is not None:
        error.__setstate__(attributes)
    if args is not None:
        error.args = args
    error.__cause__, error.__context__, error.__suppress_context__ = cause, context, suppress
    if trail is not None:
        error.__traceback__ = tracebacks.traceback(trail)

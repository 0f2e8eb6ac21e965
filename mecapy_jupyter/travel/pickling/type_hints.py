"""Pickles parts of type hints: type parameters, aliases (`type X = …`, Python 3.12), NewTypes.
pickle writes these as names, which those of a notebook have on one side only. Part of `pickler`.
"""

from __future__ import annotations

import types
import typing
from typing import Any, cast

from mecapy_jupyter.travel.hooks import pickles

_OF_PARAMETERS: Any = (typing.ParamSpecArgs, typing.ParamSpecKwargs)
_ALIASES: Any = tuple(filter(None, [getattr(typing, "TypeAliasType", None)]))
_KINDS: Any = (
    typing.TypeVar,
    typing.ParamSpec,
    typing.TypeVarTuple,
    *_OF_PARAMETERS,
    *_ALIASES,
    typing.NewType,
)

_unfilled: dict[int, list[Any]] = {}
"""Where the value of an alias goes while it is opened, by the alias's id."""


def reduced(obj: Any) -> Any:
    """How to pickle `obj`; None if it is none of these."""
    if not issubclass(type(obj), _KINDS):
        return None
    kind = cast(Any, type(obj))
    if kind in _OF_PARAMETERS:
        return kind, (obj.__origin__,)
    if (found := pickles.home_of(obj, obj.__name__)) is not None:
        return getattr, found
    if kind in _ALIASES:
        return (
            _alias_again,
            (obj.__name__, obj.__module__, obj.__type_params__),
            (obj.__value__,),
            None,
            None,
            _fill,
        )
    if kind is typing.NewType:
        return kind, (obj.__name__, obj.__supertype__), vars(obj)
    made: Any = kind, obj.__name__, getattr(obj, "__constraints__", ()), _options(obj)
    return _parameter_again, made, (None, {"__module__": obj.__module__})


def with_parameters(function: types.FunctionType, as_reduced: Any) -> Any:
    """cloudpickle omits the type parameters of `def f[T](…)`."""
    if parameters := getattr(function, "__type_params__", ()):
        as_reduced[2][1]["__type_params__"] = parameters
    return as_reduced


def _options(parameter: Any) -> dict[str, Any]:
    names = ("bound", "covariant", "contravariant", "infer_variance")
    given = {name: value for name in names if (value := getattr(parameter, f"__{name}__", None))}
    if hasattr(parameter, "has_default") and parameter.has_default():
        return given | {"default": parameter.__default__}
    return given


def _parameter_again(
    kind: Any, name: str, constraints: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    return kind(name, *constraints, **options)


def _alias_again(name: str, module: str, parameters: tuple[Any, ...]) -> Any:
    """An alias that evaluates its value when first asked, like the statement, because the value may
    contain the alias.
    """
    value: list[Any] = []
    code = compile("type alias = value[0]", "<alias>", "exec")
    # the statement's constants: its name, and None if it has no parameters
    given = {"alias": name, None: parameters or None}
    constants = tuple(given.get(constant, constant) for constant in code.co_consts)
    namespace: dict[str, Any] = {"__name__": module, "value": value}
    exec(code.replace(co_consts=constants), namespace)
    _unfilled[id(namespace["alias"])] = value
    return namespace["alias"]


def _fill(alias: Any, state: tuple[Any]) -> None:
    _unfilled.pop(id(alias)).append(state[0])

"""Pickles widgets (ipywidgets) and objects with traits: the values, observers and attributes.

The page knows a widget by its model's id, which is equal on both sides. Known for ipywidgets 8 and
traitlets 5; tests/magic/test_widgets.py is the canary. It never imports a package.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any, cast

from mecapy_jupyter.travel.environment import user_modules
from mecapy_jupyter.travel.hooks import pickles

comm_of_known: Callable[[str], Any] | None = None
"""On a worker: a model's id → the connection to the page, if the notebook has the model."""

stand_ins: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
"""In the kernel: a worker's name for a model → what represents it until the widget comes."""

# traits of the connection and of work in progress
_ENDS_HERE = frozenset({"comm", "log", "_property_lock", "_states_to_send"})
_OF_TRAITLETS = frozenset(
    {
        "_trait_values",
        "_trait_notifiers",
        "_trait_validators",
        "_cross_validation_lock",
        "_model_id",
        "_repr_mimebundle_",  # set by `close`
    }
)


State = tuple[dict[str, Any], dict[str, Any], list[Any], bool]


def _library() -> Any:
    return sys.modules.get("ipywidgets.widgets.widget")


def is_widget(obj: object) -> bool:
    library = _library()
    return library is not None and isinstance(obj, library.Widget)


def takes_apart(cls: type[Any]) -> bool:
    """Whether objects of a class are pickled here: widgets, and objects with traits of a class of
    the user's; those without a way of their own.
    """
    traitlets: Any = sys.modules.get("traitlets")
    if traitlets is None or not issubclass(cls, traitlets.HasTraits) or not pickles.by_default(cls):
        return False
    library = _library()
    is_widget = library is not None and issubclass(cls, library.Widget)
    return is_widget or user_modules.has_made(cls)


def reduced(obj: Any) -> Any:
    """How to pickle a widget of such a class."""
    cls: Any = cast(Any, type(obj))
    model_id: str = (is_widget(obj) and obj._model_id) or ""
    return _again, (cls, model_id), _state(obj), None, None, _put


def _state(widget: Any) -> State:
    """Its traits, attributes, observers, and whether it is open."""
    traits: dict[str, Any] = widget._trait_values
    held: dict[str, Any] = widget.__dict__
    return (
        {name: value for name, value in traits.items() if name not in _ENDS_HERE},
        {name: value for name, value in held.items() if name not in _OF_TRAITLETS},
        list(_observers(widget)),
        is_widget(widget) and widget.comm is not None,
    )


def _observers(widget: Any) -> Iterable[tuple[Any, Any, Any]]:
    """Those that its class does not have."""
    of_class = sys.modules["traitlets"].EventHandler
    for name, by_type in widget._trait_notifiers.items():
        for kind, callbacks in by_type.items():
            for callback in callbacks:
                if not isinstance(callback, of_class):
                    yield name, kind, callback


def _again(cls: Any, model_id: str) -> Any:
    widget: Any = cls.__new__(cls)
    if is_widget(widget):
        widget._model_id = model_id or None
    return widget


def _put(widget: Any, state: State) -> None:
    """Set a state without notifying observers, who were notified where it changed."""
    traits, attributes, observers, is_open = state
    for gone in widget._trait_values.keys() - traits.keys() - _ENDS_HERE:
        del widget._trait_values[gone]
    widget._trait_values.update(traits)
    held = cast("dict[str, Any]", widget.__dict__)
    for gone in held.keys() - attributes.keys() - _OF_TRAITLETS:
        del held[gone]
    held.update(attributes)
    for name, kind, callback in list(_observers(widget)):
        widget._trait_notifiers[name][kind].remove(callback)
    for name, kind, callback in observers:
        widget._trait_notifiers.setdefault(name, {}).setdefault(kind, []).append(callback)
    if not is_widget(widget):
        return
    if is_open and widget.comm is None:
        _connect(widget)
    elif not is_open and widget.comm is not None:
        widget.close()


def _connect(widget: Any) -> None:
    """Connects it to the model that the page has, or to a new one."""
    model_id = widget._model_id
    if comm_of_known is not None:
        widget.comm = comm_of_known(model_id)
        return
    stand_in = stand_ins.pop(model_id, None)
    if stand_in is None or stand_in.comm is None:
        widget._model_id = None
        widget.open()
        return
    comm, stand_in.comm = stand_in.comm, None
    widget.comm = comm

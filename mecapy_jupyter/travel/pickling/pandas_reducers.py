"""Pickles pandas' blocks and indexes with the record of who shares their memory. pandas asks that
record before it writes (copy on write); without it, a write to a column would change each frame,
series or index on the same memory. Pickles tables with the attributes that pandas leaves out. Part
of `pickler`; never imports pandas itself.
"""

from __future__ import annotations

import sys
import weakref
from typing import Any, cast


def takes_apart(cls: type[Any]) -> bool:
    pandas: Any = sys.modules.get("pandas")
    if pandas is None or not hasattr(pandas, "Index"):
        return False
    return issubclass(cls, (pandas.Index, pandas.DataFrame, pandas.Series, *_internals()))


def _internals() -> tuple[Any, Any, Any]:
    internals: Any = sys.modules["pandas._libs.internals"]
    managers: Any = sys.modules["pandas.core.internals.managers"]
    return internals.Block, internals.BlockValuesRefs, managers.SingleBlockManager


def is_record(obj: object) -> bool:
    """Whether it is the record of who shares a piece of memory."""
    return takes_apart(type(obj)) and isinstance(obj, _internals()[1])


_MADE_AGAIN = frozenset({"_attrs", "_cache", "_cacher", "_is_copy", "_item_cache"})


def _with_attributes(table: Any) -> Any:
    """How to pickle a table with attributes that are not in its class's `_metadata`."""
    make, arguments, state, *rest = table.__reduce_ex__(5)
    if not isinstance(state, dict) or "_mgr" not in state:  # the user's own
        return None
    pandas_state = cast("dict[str, Any]", state)
    held = cast("dict[str, Any]", vars(table))
    names = held.keys() - pandas_state.keys() - _MADE_AGAIN
    more = {name: held[name] for name in names if not _refuses(held[name])}
    return (make, arguments, pandas_state | more, *rest) if more else None


def _refuses(value: object) -> bool:
    """Whether it is what patsy hangs on its tables, for example in each model of a statsmodels'
    formula. patsy pickles none of it; statsmodels makes it again.
    """
    return type(value).__module__.partition(".")[0] == "patsy"


def with_others(record: Any) -> Any:
    """How to pickle such a record with those who stay here, so that what is written there is copied
    first if one of them shares it.
    """
    alive = sum(reference() is not None for reference in record.referenced_blocks)
    return _record, (type(record), alive)


def _record(kind: Any, count: int) -> Any:
    record = kind()
    record.referenced_blocks = [weakref.ref(_StaysBehind)] * count
    return record


class _StaysBehind:
    """Stands for somebody who shares the memory and does not travel."""


def _arrived(record: Any) -> Any:
    """The record, in which the next to be added stands for itself."""
    for at, reference in enumerate(record.referenced_blocks):
        if reference() is _StaysBehind:
            del record.referenced_blocks[at]
            break
    return record


def reduced(obj: Any) -> Any:
    kind = cast("type[Any]", type(obj))
    block, sharers, manager = _internals()
    if kind is sharers:
        return kind, ()
    if hasattr(kind, "_internal_names"):
        return _with_attributes(obj)
    make, arguments, *rest = obj.__reduce_ex__(5)
    if issubclass(kind, manager):
        return make, arguments, (rest[0], obj.blocks[0].refs), None, None, _set_manager
    shared = obj.refs if issubclass(kind, block) else getattr(obj, "_references", None)
    if shared is None or rest:
        return None
    setter = _set_block if issubclass(kind, block) else _set_index
    return make, arguments, (shared,), None, None, setter


def _set_manager(manager: Any, state: tuple[Any, Any]) -> None:
    content, shared = state
    manager.__setstate__(content)
    _set_block(manager.blocks[0], (shared,))


def _set_block(block: Any, state: tuple[Any]) -> None:
    block.refs = _arrived(state[0])
    block.refs.add_reference(block)


def _set_index(index: Any, state: tuple[Any]) -> None:
    index._references = _arrived(state[0])
    index._references.add_index_reference(index)

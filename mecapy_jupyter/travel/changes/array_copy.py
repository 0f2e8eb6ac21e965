"""Gives an array in the notebook the content that it has after a cell."""

from __future__ import annotations

import sys
import warnings
from typing import Any, cast

from mecapy_jupyter.travel.pickling import array_subclasses, array_views, known_blobs

_PIECE_BYTES = 4 << 20


def set_content(original: Any, content: Any, writeable: bool) -> bool:
    """Sets the content in place: the memory, and how the array reads it. False: it cannot be
    changed so.
    """
    if original.nbytes != content.nbytes:
        return False
    if not _made_writeable(original):
        return not writeable and _set_below(original, content)
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # NumPy 2.5
            for name in ("dtype", "shape"):
                if getattr(original, name) != getattr(content, name):
                    _numpys(name).__set__(original, getattr(content, name))
    except (AttributeError, TypeError, ValueError):  # a view that would need a copy
        return False
    _copy_into(original, content)
    if array_subclasses.is_writeable(original) != writeable:
        original.flags.writeable = writeable
    return True


def _made_writeable(array: Any) -> bool:
    """Also where it is read-only: pandas hands out such views, which show what the table gets. A
    result of `as_strided` refuses even what it already is.
    """
    if array_subclasses.is_writeable(array):
        return True
    try:
        array.flags.writeable = True
    except ValueError:  # the memory belongs to somebody who does not allow it
        return False
    return True


def _set_below(original: Any, content: Any) -> bool:
    """Writes to the memory below a read-only view that nobody may write to, such as the result of
    `sliding_window_view`.
    """
    owner, plain = array_views.memory_owner(original), sys.modules["numpy"].ndarray
    if not (type(owner) is type(original) is plain and owner.flags.c_contiguous):
        return False
    below = array_views.reduced(original, {id(owner): owner})
    if below is None or not array_subclasses.is_writeable(owner):
        return False
    if (original.dtype, original.shape) != (content.dtype, content.shape):
        return False
    view, (*place, _) = below
    _copy_into(view(*place, True), content)
    return True


def _numpys(name: str) -> Any:
    """numpy's own property, because a subclass may override it."""
    return cast("dict[str, Any]", vars(sys.modules["numpy"].ndarray))[name]


def _copy_into(original: Any, content: Any) -> None:
    """Both arrays have one dtype and shape.

    A large content is the map of a blob. It is copied in pieces, and each piece may leave memory
    afterwards, so that the array is never in memory twice.
    """
    orders = [order for order in "CF" if original.flags[order] and content.flags[order]]
    base: Any = sys.modules["numpy"].ndarray
    is_plain = type(original) is type(content) is base
    if content.nbytes < 2 * _PIECE_BYTES or not (orders and is_plain) or content.dtype.hasobject:
        # the base method, because a subclass may override it
        base.__setitem__(original, ..., content)
        return
    target, source = (one.reshape(-1, order=orders[0]) for one in (original, content))
    step = max(1, _PIECE_BYTES // content.itemsize)
    for start in range(0, source.size, step):
        piece = source[start : start + step]
        target[start : start + step] = piece
        known_blobs.let_go(memoryview(piece.view("u1")))

"""Copies the content of an array after a cell into the original in the notebook."""

from __future__ import annotations

import sys
from typing import Any

from mecapy_jupyter.travel.pickling import known_blobs

_PIECE_BYTES = 4 << 20


def copy_into(original: Any, content: Any) -> None:
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

"""What an array holds at the end of a cell, copied into the original at home."""

from __future__ import annotations

import sys
from typing import Any

from mecapy_jupyter.travel.pickling import known_blobs

_PIECE_BYTES = 4 << 20


def copy_into(original: Any, content: Any) -> None:
    """Both of one dtype and shape. A large content is the map of a blob: it is copied piece by
    piece, each of which may then leave memory, so that the array is never there twice.
    """
    orders = [order for order in "CF" if original.flags[order] and content.flags[order]]
    base: Any = sys.modules["numpy"].ndarray
    is_plain = type(original) is type(content) is base
    if content.nbytes < 2 * _PIECE_BYTES or not (orders and is_plain) or content.dtype.hasobject:
        base.__setitem__(original, ..., content)  # not what a subclass has put in its place
        return
    target, source = (one.reshape(-1, order=orders[0]) for one in (original, content))
    step = max(1, _PIECE_BYTES // content.itemsize)
    for start in range(0, source.size, step):
        piece = source[start : start + step]
        target[start : start + step] = piece
        known_blobs.let_go(memoryview(piece.view("u1")))

"""Buffers that stay equal from one submission to the next: the kernel writes and hashes each once.
A pack is a mapped file without a name, so it uses no memory of this process. Once sent, its digest
is known and the store does not get it again.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from typing import Any

from mecapy_jupyter.travel.pickling import known_blobs

# the notebook may have set `tempfile.tempdir` to a folder that is yet to be made
_FOLDER = next(filter(os.path.isdir, (tempfile.gettempdir(), os.getcwd())))  # noqa: PTH109
"""A cell may set another, which need not exist."""


class Pack:
    """One buffer. First handed out as new to the store, then as known."""

    def __init__(self, content: bytes) -> None:
        self.size_bytes = len(content)
        self.digest = known_blobs.hashed(content) if content else ""
        self._view: Any = None
        self._fd, name = tempfile.mkstemp(prefix="mecapy-", dir=_FOLDER)
        os.unlink(name)  # noqa: PTH108
        self._close = weakref.finalize(self, os.close, self._fd)
        with open(self._fd, "wb", closefd=False) as file:
            file.write(content)

    def buffer(self) -> Any:
        """Its bytes, which are never written again."""
        if not self.size_bytes:
            return b""
        if self._view is None:
            self._view = known_blobs.private_map(self._fd, self.size_bytes)
        elif self._close.alive:
            self._view = known_blobs.map_blob(self._fd, self.digest)
            self._close()
        return self._view

    def content(self, offset: int, size_bytes: int) -> bytes:
        view = self._view if self._view is not None else self.buffer()
        return bytes(memoryview(view)[offset : offset + size_bytes])


_MOST = 8
_packs: dict[str, Pack] = {}
"""Digest → pack, the latest last."""


def packed(content: bytes) -> Pack:
    """The pack with this content; the latest ones are kept."""
    digest = known_blobs.hashed(content)
    _packs[digest] = found = _packs.pop(digest, None) or Pack(content)
    while len(_packs) > _MOST:
        del _packs[next(iter(_packs))]
    return found

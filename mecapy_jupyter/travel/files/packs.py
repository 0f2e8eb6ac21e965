"""Packs: buffers with the contents of several files, written and hashed once, and not read again
while a file's size, times and inode stay equal. Runs in the kernel.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mecapy_jupyter.travel.files import never_sent
from mecapy_jupyter.travel.files.index import Entry
from mecapy_jupyter.travel.files.scan import Found, seen
from mecapy_jupyter.travel.pickling import known_blobs
from mecapy_jupyter.travel.pickling.sent_once import Pack

ALONE_BYTES = 1 << 20
"""A file of this size or more is a pack of its own."""

_SETTLED_NS = 2_000_000_000
"""A file that changed more recently than this before it was read may change again with equal times.
"""

_MOST_PACKS, _LITTLE_BYTES = 8, 64 * 1024


Secret = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class _Placed:
    """The place of a file's content. `pack` None: it is a secret and not kept."""

    seen: Found
    read_ns: int
    pack: Pack | None
    offset: int
    digest: str

    def holds(self, now: Found) -> bool:
        return self.seen == now and now.mtime_ns < self.read_ns - _SETTLED_NS


@dataclass(frozen=True, slots=True)
class PackedFolder:
    """`entries` name `packs` by position; `secret`: paths whose content must stay here."""

    entries: tuple[Entry, ...]
    packs: tuple[Pack, ...]
    secret: tuple[str, ...]


_placed: dict[str, _Placed] = {}


def pack(
    folder: Path, files: Iterable[Found], below: str = "", holds_secret: Secret | None = None
) -> PackedFolder:
    """The contents of these files of `folder`; paths of entries begin with `below`. `holds_secret`:
    content → whether it must stay here, besides the checks of `never_sent`.
    """
    fresh: list[tuple[str, _Placed, bytes]] = []
    here: dict[str, _Placed] = {}
    for found in files:
        known = _placed.get(f"{folder}/{found.path}")
        if known is not None and known.holds(found):
            here[found.path] = known
        elif (read := _read(folder, found, known, holds_secret)) is not None:
            placed, content = read
            here[found.path] = placed
            if content is not None:
                fresh.append((found.path, placed, content))
    _put_together(here, [*fresh, *_worn(here)])
    prefix = f"{folder}/"
    for path in [path for path in _placed if path.startswith(prefix)]:
        del _placed[path]
    _placed.update({prefix + path: placed for path, placed in here.items()})
    return _named(here, below)


def _read(
    folder: Path, found: Found, known: _Placed | None, holds_secret: Secret | None
) -> tuple[_Placed, bytes | None] | None:
    """A file's place, and its content if it needs a new one. None if it cannot be read."""
    read_ns = time.time_ns()
    try:
        with (folder / found.path).open("rb") as file:
            content = file.read()
            now = seen(found.path, os.fstat(file.fileno()))
    except OSError:
        return None
    now = replace(now, size_bytes=len(content))  # of a growing file: what was read
    name = found.path.rpartition("/")[2]
    if never_sent.by_content(name, content) or (holds_secret and holds_secret(content)):
        return _Placed(now, read_ns, None, 0, ""), None
    digest = known_blobs.hashed(content) if content else ""
    if known is not None and known.pack is not None and known.digest == digest:
        return _Placed(now, read_ns, known.pack, known.offset, digest), None
    return _Placed(now, read_ns, None, 0, digest), content


def _worn(here: dict[str, _Placed]) -> list[tuple[str, _Placed, bytes]]:
    """The files of packs that are mostly outdated, or too many; they move into a new pack."""
    live: dict[Pack, int] = {}
    for placed in here.values():
        if placed.pack is not None:
            live[placed.pack] = live.get(placed.pack, 0) + placed.seen.size_bytes
    worn = {
        one
        for one, bytes_ in live.items()
        if one.size_bytes > max(2 * bytes_, _LITTLE_BYTES) and one.size_bytes > bytes_
    }
    shared = [one for one in live if one.size_bytes < 2 * ALONE_BYTES and one not in worn]
    if len(shared) > _MOST_PACKS:
        worn |= set(shared)
    return [
        (path, placed, placed.pack.content(placed.offset, placed.seen.size_bytes))
        for path, placed in here.items()
        if placed.pack is not None and placed.pack in worn
    ]


def _put_together(here: dict[str, _Placed], fresh: Sequence[tuple[str, _Placed, bytes]]) -> None:
    """New packs: large files alone, the others together. Their places go into `here`."""
    large = [one for one in fresh if len(one[2]) >= ALONE_BYTES]
    small = [one for one in fresh if len(one[2]) < ALONE_BYTES]
    for group in (*([one] for one in large), small):
        if not group:
            continue
        together, offset = Pack(b"".join(content for _, _, content in group)), 0
        for path, placed, content in group:
            here[path] = replace(placed, pack=together, offset=offset)
            offset += len(content)


def _named(here: dict[str, _Placed], below: str) -> PackedFolder:
    numbers: dict[Pack, int] = {}
    entries: list[Entry] = []
    for path, placed in here.items():
        if placed.pack is None:
            continue
        number = numbers.setdefault(placed.pack, len(numbers))
        one = placed.seen
        entries.append(
            Entry(below + path, one.size_bytes, one.mtime_ns, one.executable, number, placed.offset)
        )
    secret = tuple(path for path, placed in here.items() if placed.pack is None)
    return PackedFolder(tuple(entries), tuple(numbers), secret)

"""The sources of the user's own modules in a prelude. Large ones stand beside the stream, in packs
that are not sent again while their content stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pickle import PickleBuffer
from typing import Any

from mecapy_jupyter.travel.environment.source_files import ModuleSource
from mecapy_jupyter.travel.pickling.sent_once import Pack

_INLINE_CHARS = 16 * 1024
"""Up to this total, sources go into the stream itself."""
_MOST_PACKS, _MOST_KEPT, _LITTLE_BYTES = 4, 8, 1 << 20
_ENCODING = "utf-8", "surrogatepass"

_Place = tuple[Pack, int, int]
"""A pack, and where a text begins and ends in it."""

_kept: list[tuple[Pack, dict[str, tuple[int, int]]]] = []
"""The latest packs, and where their texts are."""


def placed(sources: Sequence[ModuleSource]) -> dict[str, Any]:
    """Plain data for a prelude: `modules`, each with its text or its place, and `texts`, the packs
    by digest.
    """
    if sum(len(one.source) for one in sources) <= _INLINE_CHARS:
        return {"modules": [asdict(one) | {"place": None} for one in sources], "texts": {}}
    places = _places([one.source for one in sources])
    modules = [
        asdict(one) | {"source": "", "place": (pack.digest, start, end)}
        for one, (pack, start, end) in zip(sources, places, strict=True)
    ]
    packs = {pack.digest: pack for pack, _, _ in places}
    texts = {digest: PickleBuffer(pack.buffer()) for digest, pack in packs.items()}
    return {"modules": modules, "texts": texts}


def opened(prelude: Mapping[str, Any]) -> list[ModuleSource]:
    texts = {digest: memoryview(pack).cast("B") for digest, pack in prelude["texts"].items()}

    def source(place: tuple[str, int, int] | None, source: str, **about: Any) -> ModuleSource:
        if place is not None:
            source = str(texts[place[0]][place[1] : place[2]], *_ENCODING)
        return ModuleSource(source=source, **about)

    return [source(**module) for module in prelude["modules"]]


def size_of(module: Mapping[str, Any]) -> int:
    """The size of a module's source, in bytes or characters."""
    place = module["place"]
    return len(module["source"]) if place is None else place[2] - place[1]


def _places(texts: Sequence[str]) -> list[_Place]:
    new = [text for text in dict.fromkeys(texts) if _found(text) is None]
    if new:
        _put_together(new)
    places = _all_found(texts)
    packs = {id(pack): pack.size_bytes for pack, _, _ in places}
    used_bytes = sum(end - start for _, start, end in places)
    if len(packs) > _MOST_PACKS or sum(packs.values()) > 2 * used_bytes + _LITTLE_BYTES:
        _put_together(dict.fromkeys(texts))
        places = _all_found(texts)
    return places


def _put_together(texts: Iterable[str]) -> None:
    where, parts, end = dict[str, tuple[int, int]](), list[bytes](), 0
    for text in texts:
        parts.append(text.encode(*_ENCODING))
        where[text] = end, end + len(parts[-1])
        end += len(parts[-1])
    _kept.append((Pack(b"".join(parts)), where))
    del _kept[:-_MOST_KEPT]


def _found(text: str) -> _Place | None:
    for pack, where in reversed(_kept):
        if (place := where.get(text)) is not None:
            return pack, *place
    return None


def _all_found(texts: Sequence[str]) -> list[_Place]:
    return [place for text in texts if (place := _found(text)) is not None]

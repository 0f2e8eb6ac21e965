"""The cache of results, from here: the keys of a submission, and the remark on a hit or a miss."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from blake3 import blake3

from mecapy_jupyter import content_key, wire
from mecapy_jupyter.block import notes
from mecapy_jupyter.client import gateway_api, signing
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.content_key import packages
from mecapy_jupyter.shared import units, version
from mecapy_jupyter.travel.files.gather import Along
from mecapy_jupyter.travel.pickling import payload

_FRESH_S = 5.0
_SEEN_S = 30.0
_asked: dict[str, tuple[float, Mapping[str, str]]] = {}


@dataclass(frozen=True, slots=True)
class CacheInputs:
    """What the keys cover besides the packed inputs. `code`: after IPython's transform. `there`:
    versions of packages on the workers.
    """

    code: str
    there: Mapping[str, str]
    imports: Sequence[str] = ()
    folder: Along = field(default_factory=Along)
    is_embedded: bool = False


def of_call(gateway: Gateway, request: wire.TaskRequest) -> CacheInputs:
    return CacheInputs(request.code, versions(gateway), is_embedded=gateway.embedded)


def versions(gateway: Gateway) -> Mapping[str, str]:
    """The versions of packages on the workers; several where the workers differ. Asked every few
    seconds: a key with an old version would find an old result.
    """
    asked_s, known = _asked.get(gateway.url, (0.0, {}))
    if not asked_s or time.monotonic() - asked_s > _FRESH_S:
        found = gateway_api.packages(gateway, version.minor()).packages
        known = {one.name: ",".join(one.versions) for one in found.values()}
        _asked[gateway.url] = time.monotonic(), known
    return known


def with_keys(
    request: wire.TaskRequest,
    values: Mapping[str, Any],
    packed: payload.Packed,
    about: CacheInputs,
    *,
    in_graph: bool,
) -> wire.TaskRequest:
    """The request with its keys; without, where it has none, and the reason is printed."""
    try:
        return replace(request, cache=keys(request, values, packed, about, in_graph=in_graph))
    except content_key.NoContentKey as why:
        say(request.name, f"not cached: {why}")
        return request


def keys(
    request: wire.TaskRequest,
    values: Mapping[str, Any],
    packed: payload.Packed,
    about: CacheInputs,
    *,
    in_graph: bool = False,
) -> wire.CacheKeys:
    """Raises NoContentKey."""
    index = about.folder.index
    files = {one.path: one for one in index.entries if one.path in about.folder.asked}
    also = (
        *(request.outputs, request.keep, wire.CALLED in values),
        *(index.start, index.automatic, index.most_files, index.most_bytes),
        *((one.path, one.executable, _content(about.folder, one.path)) for one in files.values()),
    )
    if about.is_embedded and packages.installed_within(_SEEN_S):
        raise content_key.NoContentKey(
            f"packages were installed here less than {_SEEN_S:.0f} s ago; try again then"
        )
    if in_graph:
        raise content_key.NoContentKey("it needs the result of another task")
    if request.packages:
        raise content_key.NoContentKey("it adds packages, whose versions the worker chooses")
    task = content_key.TaskContent(
        about.code, values, packed.memo, packed.prelude, about.imports, about.there, also
    )
    try:
        key = content_key.task_key(task)
    except content_key.NoContentKey:
        raise
    except Exception as trouble:  # of a class's own methods: the cell runs all the same
        why = f"the content of its inputs cannot be read: {trouble!r}"
        raise content_key.NoContentKey(why) from trouble
    base, seeded = signing.keyed(key.base), signing.keyed(key.seeded)
    return wire.CacheKeys(base, seeded, files=tuple(sorted(files)), versions=dict(key.versions))


def verdict(gateway: Gateway, wanted: wire.CacheKeys) -> str:
    """Whether a kept result may be used."""
    found = gateway_api.cache(gateway, 1, wanted).entries
    if not found:
        return "no kept result has this content; the cell would run, and its result be kept"
    one = found[0]
    when = "" if one.ran_at is None else f", which ran {_moment(one.ran_at)}"
    return f"a kept result would come home{when} ({units.spent(one.seconds)} saved)"


def _content(folder: Along, path: str) -> bytes:
    entry = next(one for one in folder.index.entries if one.path == path)
    pack = memoryview(folder.packs[entry.pack]).cast("B")
    return blake3(pack[entry.offset : entry.offset + entry.size_bytes]).digest()


def say(name: str, sentence: str) -> None:
    notes.say(f"{f'{name}: ' if name else ''}{sentence}")


def remark(cached: wire.CachedRun | None, outcome: wire.Outcome) -> str:
    """A hit with when it ran, or why the result is not kept; empty for one that is."""
    if cached is not None:
        when = "" if cached.ran_at is None else f"ran {_moment(cached.ran_at)}, "
        return f"from the cache: {when}{units.spent(cached.seconds)} saved"
    if outcome.state != wire.COMPLETED:
        return ""
    if outcome.uncached:
        return f"not cached: {'; '.join(outcome.uncached)}"
    if outcome.drew:
        return (
            f"cached for this random state alone ({', '.join(outcome.drew)}), because the cell "
            f"draws from it; set a seed in the cell to find the result from any state"
        )
    return ""


def _moment(at: datetime) -> str:
    return units.moment(at, datetime.now().astimezone())

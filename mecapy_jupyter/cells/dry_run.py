"""`--dry-run`: shows what would travel with a cell, and whether it can. Sends nothing and starts no
stack. Packs like `client` (`packing`) and checks like `prepared` (`preflight`).
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any

from mecapy_jupyter import content_key
from mecapy_jupyter.capture import diagnose, packing
from mecapy_jupyter.cells import history, notebook_folder, preflight
from mecapy_jupyter.cells.prepared import Prepared
from mecapy_jupyter.client import config, requirements, result_cache
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors, units
from mecapy_jupyter.travel.environment import module_sources
from mecapy_jupyter.travel.pickling import payload
from mecapy_jupyter.wire import InstalledPackages


def describe(prepared: Prepared) -> str:
    """The lines to print. Raises what sending would raise."""
    there, unknown = _workers()
    prepared.gather(there)
    packed = packing.pack(
        prepared.values,
        prepared.shell.user_ns,
        prepared.words,
        sorted(prepared.names.imports),
        folder=prepared.along,
    )
    count, total = len(prepared.values), packed.size_bytes
    plural = "" if count == 1 else "s"
    lines = [
        f"would send {count} variable{plural}, {units.size(total)} in all (less what the store "
        f"has already):"
    ]
    lines += [
        *_variables(prepared.values),
        *_around(packed.prelude or {}),
        *notebook_folder.listed(prepared.along),
    ]
    wanted = prepared.options.outputs
    back = ", ".join(sorted(prepared.names.binds) if wanted is None else wanted) or "nothing"
    keep = f"; files {', '.join(prepared.options.keep)}" if prepared.options.keep else ""
    lines += [
        f"would bring back: {back}, and inputs it changes in place{keep}",
        *_fit(prepared, packed, there, unknown),
        *_cached(prepared, packed, unknown),
    ]
    if past := history.said(history.runs(prepared.key.text)):
        lines.append(f"time: {past}")
    return "\n".join(lines)


def _variables(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        size = (
            "by name"
            if issubclass(type(value), types.ModuleType)
            else units.size(diagnose.size_estimate(value))
        )
        yield f"  {name:<20} {type(value).__name__:<16} {size:>14}"


def _around(prelude: Mapping[str, Any]) -> Iterator[str]:
    modules = [
        f"{module['name']} ({units.size(module_sources.size_of(module))})"
        for module in prelude.get("modules", ())
    ]
    if modules:
        yield f"  own modules: {', '.join(modules)}"
    if prelude.get("imports"):
        yield f"  imported before it starts: {', '.join(prelude['imports'])}"
    if cells := prelude.get("cells"):
        labels = [f"In[{number}]" if number else name for name, (number, _) in cells.items()]
        yield f"  text of the cells of its functions: {', '.join(labels)}"
    if ambient := prelude.get("ambient"):
        named = [
            f"{kind} ({', '.join(ambient[kind])})" if kind == "environment" else kind
            for kind in ambient
            if ambient[kind] != {}
        ]
        yield f"  state: {', '.join(named)}"


def _workers() -> tuple[InstalledPackages, str]:
    """What the workers have, or why they were not asked."""
    try:
        at = config.resolve(start=False)
        return preflight.workers(Gateway.of(at)), ""
    except errors.MecapyError as unknown:
        return InstalledPackages(), str(unknown)


def _cached(prepared: Prepared, packed: payload.Packed, unknown: str) -> Iterator[str]:
    if unknown or not prepared.options.cache:
        return
    gateway = Gateway.of(config.resolve(start=False))
    request = requirements.added(prepared.request)
    try:
        about = prepared.cache_inputs(gateway)
        assert about is not None
        wanted = result_cache.keys(request, prepared.values, packed, about)
        yield f"cache: {result_cache.verdict(gateway, wanted)}"
    except content_key.NoContentKey as why:
        yield f"cache: not used, because {why}"


def _fit(
    prepared: Prepared, packed: payload.Packed, there: InstalledPackages, unknown: str
) -> Iterator[str]:
    if unknown:
        yield f"workers: not asked ({unknown})"
        return
    prepared.fits(packed, there)
    modules = {
        name.partition(".")[0] for name in (*packed.modules, *prepared.names.imports)
    } & there.packages.keys()
    distributions = [there.packages[name] for name in modules]
    used = sorted({" ".join((one.name, *one.versions)) for one in distributions if one.name})
    yield f"workers: Python {' and '.join(there.python) or 'not known yet'}" + (
        f"; {', '.join(used)}" if used else ""
    )

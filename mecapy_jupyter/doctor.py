"""What is right and what is not between this machine and a finished cell, one line each, with what to do.

Starts nothing. Before it: `cli`, `magic`. After it: `config`, `http`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import config, errors
from .http import Gateway
from .version import __version__


@dataclass(frozen=True, slots=True)
class Check:
    good: bool
    text: str


def examine() -> Iterator[Check]:
    """Check after check; ends at the first that makes the rest pointless."""
    yield Check(True, f"mecapy-jupyter {__version__} on Python {sys.version.split()[0]}")
    try:
        endpoint = config.resolve(start=False)
    except errors.MecapyError as problem:
        yield Check(False, str(problem))
        return
    yield Check(True, f"gateway {endpoint.url} (from {endpoint.source})")
    gateway = Gateway(endpoint.url, endpoint.token)
    try:
        me = gateway.get("/me")
        workers: list[dict[str, Any]] = [one["info"] | {"id": one["id"]} for one in gateway.get("/workers")]
    except errors.MecapyError as problem:
        yield Check(False, str(problem))
        return
    yield Check(True, f"it answers, and knows you as {me.get('owner', 'its user')}")
    if not workers:
        yield Check(
            False, "no worker is alive: tasks will wait. `mecapy status` shows the embedded stack; an operator starts `mecapy worker`"
        )
    for worker in workers:
        yield from _worker(worker)


def _worker(worker: dict[str, Any]) -> Iterator[Check]:
    """What a worker says of itself is all optional: an older one may not say it."""
    name = f"worker {worker.get('id', '?')}"
    theirs, ours = str(worker.get("python", "")), f"{sys.version_info.major}.{sys.version_info.minor}"
    if theirs and theirs.split(".")[:2] != ours.split("."):
        yield Check(False, f"{name} runs Python {theirs}, this is {ours}: cells with variables will be refused; use Python {theirs} here")
    else:
        yield Check(True, f"{name} is alive" + (f" (Python {theirs})" if theirs else ""))
    confinement: dict[str, Any] = worker.get("confinement") or {}
    if confinement.get("missing"):
        missing = ", ".join(map(str, confinement["missing"]))
        yield Check(False, f"{name} does not confine its tasks fully ({missing}): let only people you trust use it")

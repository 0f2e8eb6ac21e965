"""What is right and what is not between this machine and a finished cell, one line each, with what
to do.

Starts nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import urllib3

from mecapy_jupyter.client import config
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.version import __version__, minor
from mecapy_jupyter.stack import embedded
from mecapy_jupyter.wire.stack import WORKER

_CLOCK_S = 30.0
_ANSWER_S = 10.0
_WORDS = {
    "postgres": "PostgreSQL",
    "disk": "its disk",
    "schema": "the database's schema",
    "redis": "Redis",
    "store": "the object store",
    "clock": "the clock",
}
_WAIT = (
    "tasks will wait. `mecapy status` shows the embedded stack; an operator starts `mecapy worker`"
)


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
        # Where nothing is configured the stack is what would serve; else what is configured is
        # wrong.
        yield from (not config.named() and _stack()) or [Check(False, str(problem))]
        return
    yield Check(True, f"gateway {endpoint.url} (from {endpoint.source})")
    health = _health(endpoint.url)
    yield from _parts(health)
    gateway = Gateway(endpoint.url, endpoint.token)
    try:
        me = gateway.get("/me")
        workers: list[dict[str, Any]] = [
            one["info"] | {"id": one["id"]} for one in gateway.get("/workers")
        ]
    except errors.MecapyError as problem:
        yield Check(False, str(problem))
        return
    yield Check(True, f"it answers, and knows you as {me.get('owner', 'its user')}")
    if not workers:
        yield Check(False, f"no worker is alive: {_WAIT}")
    for worker in workers:
        yield from _worker(worker, health)


def _stack() -> list[Check]:
    """Of the user's own stack, which runs but does not serve: the parts that do not answer, and
    what its gateway says.
    """
    found = embedded.status()
    if not found.url:
        return []
    again = "it is started again by itself; if this stays, its log says why"
    silent = [
        Check(
            False,
            f"{one.name} of the embedded stack (pid {one.process.pid}) does not answer: {again} "
            f"({found.data}/logs/{one.name}{'-*' if one.name == WORKER else ''}.log)",
        )
        for one in found.components
        if not one.healthy
    ]
    said = [*silent, *_parts(_health(found.url))]
    return said or [
        Check(
            False,
            f"the embedded stack on {found.data} does not serve (any more, or not yet): try "
            f"again in a moment",
        )
    ]


def _health(url: str) -> dict[str, Any]:
    """What the gateway says of itself. Also when it is not ready; nothing when there is none, or an
    old one.
    """
    try:
        answer = urllib3.request(
            "GET", f"{url.rstrip('/')}/readyz", timeout=_ANSWER_S, retries=False
        )
        said = cast("dict[str, Any]", json.loads(answer.data))
        return said if isinstance(said["parts"], dict) else {}
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError):
        return {}


def _parts(health: Mapping[str, Any]) -> Iterator[Check]:
    advice: Mapping[str, str] = health.get("advice") or {}
    for name, state in dict(health.get("parts") or {}).items():
        if state not in ("ok", "unknown"):
            yield Check(
                False,
                f"{_WORDS.get(name, name)}: {state}. "
                f"{advice.get(name, 'Ask the operator of the gateway.')}",
            )
    theirs = str(health.get("version", ""))
    if theirs and not _alike(theirs, __version__):
        yield Check(
            False,
            f"the gateway is MecaPy {theirs}, this is {__version__}: "
            f"{_upgrade(theirs, 'here', 'the gateway')}",
        )
    if (
        (ahead_s := _ahead_s(health))
        and abs(ahead_s) > _CLOCK_S
        and health.get("parts", {}).get("clock") == "ok"
    ):
        said = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the gateway's"
        yield Check(False, f"this machine's clock is {said}: set it right (NTP)")


def _ahead_s(health: Mapping[str, Any]) -> float | None:
    """How far our clock is ahead of the gateway's."""
    try:
        return (datetime.now(UTC) - datetime.fromisoformat(str(health["now"]))).total_seconds()
    except (KeyError, ValueError, TypeError):
        return None


def _alike(one: str, other: str) -> bool:
    return one.split(".")[:2] == other.split(".")[:2]


def _upgrade(theirs: str, here: str, there: str) -> str:
    """Which of the two is behind. `here` and `there` say where they are installed."""
    older = there if _numbers(theirs) < _numbers(__version__) else here
    return (
        f"upgrade {older} (`pip install --upgrade mecapy-jupyter`), both must be the same "
        f"'major.minor'"
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _worker(worker: dict[str, Any], gateway: Mapping[str, Any]) -> Iterator[Check]:
    """What a worker says of itself is all optional: an older one may not say it."""
    name = f"worker {worker.get('id', '?')}"
    theirs, ours = (
        str(worker.get("python", "")),
        minor(),
    )
    version, gateway_version = str(worker.get("version", "")), str(gateway.get("version", ""))
    if theirs and theirs.split(".")[:2] != ours.split("."):
        yield Check(
            False,
            f"{name} runs Python {theirs}, this is {ours}: cells with variables will be refused; "
            f"use Python {theirs} here",
        )
    else:
        yield Check(True, f"{name} is alive" + (f" (Python {theirs})" if theirs else ""))
    if version and gateway_version and not _alike(version, gateway_version):
        yield Check(
            False,
            f"{name} is MecaPy {version}, its gateway {gateway_version}: install the same on both",
        )
    faults: dict[str, str] = worker.get("health") or {}
    said: Mapping[str, str] = gateway.get("advice") or {}
    for part, advice in faults.items():
        known = advice == said.get(part)
        yield Check(
            False, f"{name}, {_WORDS.get(part, part)}: {'as at the gateway' if known else advice}"
        )
    if confinement := worker.get("confinement"):
        yield _confinement(name, confinement)
    if isinstance(worker.get("network"), list):
        reached = ", ".join(map(str, cast("list[Any]", worker["network"])))
        yield Check(
            True,
            f"{name} lets its tasks reach {reached}"
            if reached
            else f"{name} gives its tasks no network",
        )


def _confinement(name: str, said: dict[str, Any]) -> Check:
    """Which layers hold a task there. Only what `strict` needs is a fault; the others add to it
    where the host allows.
    """
    layers = [
        f"landlock {said['landlock']}"
        if layer == "landlock" and said.get("landlock")
        else str(layer)
        for layer in said["layers"]
    ]
    missing = ", ".join(f"{layer}: {why}" for layer, why in said["missing"].items())
    if said["level"] == "strict":
        return Check(
            True,
            f"{name} confines its tasks: {', '.join(layers)}"
            + (f" (not here: {missing})" if missing else ""),
        )
    through = (
        f", and these attacks succeed: {', '.join(said['through'])}" if said.get("through") else ""
    )
    return Check(
        False,
        f"{name} does not confine its tasks fully (missing: {missing}{through}): let only people "
        f"you trust use it",
    )

"""Checks what lies between this machine and a finished cell: one line each, with what to do. Starts
nothing.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import urllib3

from mecapy_jupyter import wire
from mecapy_jupyter.client import config, gateway_api, logins, signing
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.version import __version__, minor
from mecapy_jupyter.stack import embedded
from mecapy_jupyter.wire.json_fields import as_object
from mecapy_jupyter.wire.stack import WORKER

_CLOCK_S = 30.0
_ANSWER_S = 10.0
_WORDS = {
    "postgres": "PostgreSQL",
    "disk": "its disk",
    "schema": "the database's schema",
    "connections": "PostgreSQL's connections",
    "redis": "Redis",
    "store": "the object store",
    "clock": "the clock",
}
_WAIT = (
    "tasks will wait. `mecapy status` shows the embedded stack; an operator starts `mecapy worker`"
)


@dataclass(frozen=True, slots=True)
class Finding:
    text: str
    good: bool = False


def examine() -> Iterator[Finding]:
    """One check after another, up to the first failure that makes the rest pointless."""
    yield Finding(f"mecapy-jupyter {__version__} on Python {sys.version.split()[0]}", good=True)
    try:
        endpoint = config.resolve(start=False)
    except errors.MecapyError as problem:
        # Without a configuration the embedded stack would serve; otherwise the configuration is
        # wrong.
        yield from (not config.named() and _stack()) or [Finding(str(problem))]
        return
    yield Finding(f"gateway {endpoint.url} (from {endpoint.source})", good=True)
    yield from _open_secrets()
    health = _health(endpoint.url)
    yield from _parts(health)
    gateway = Gateway.of(endpoint)
    try:
        me, workers = gateway_api.me(gateway), gateway_api.workers(gateway)
    except errors.MecapyError as problem:
        yield Finding(str(problem))
        return
    yield Finding(f"it answers, and knows you as {me.owner or 'its user'}", good=True)
    if not workers:
        yield Finding(f"no worker is alive: {_WAIT}")
    for worker in workers:
        yield from _worker(worker, health)


def _open_secrets() -> Iterator[Finding]:
    """Files with a token or a key that others may read. We write none, but people edit them."""
    if sys.platform == "win32":
        return
    for path in (config.config_file(), logins.file(), signing.key_file()):
        try:
            about = path.stat()
        except OSError:
            continue
        if about.st_uid != os.geteuid():
            yield Finding(f"{path} belongs to another user (uid {about.st_uid}): delete it")
        elif about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            why = "others may read it, and it can hold a token or a key"
            yield Finding(f"{path}: {why}. Run `chmod 600 {path}`, and replace its token")


def _stack() -> list[Finding]:
    """Findings about the user's own stack, if it runs but does not serve: the parts that do not
    answer, and the gateway's report.
    """
    found = embedded.status()
    if not found.url:
        return []
    advice = "it restarts automatically; if this stays, its log has the reason"
    silent = [
        Finding(
            f"{one.name} of the embedded stack (pid {one.process.pid}) does not answer: {advice} "
            f"({found.data}/logs/{one.name}{'-*' if one.name == WORKER else ''}.log)"
        )
        for one in found.components
        if not one.healthy
    ]
    findings = [*silent, *_parts(_health(found.url))]
    return findings or [
        Finding(
            f"the embedded stack on {found.data} does not answer: it is starting or "
            "stopping, so try again in a moment"
        )
    ]


def _health(url: str) -> wire.Readiness:
    """The gateway's report of its health, also if it is not ready; empty if there is no gateway or
    an old one.
    """
    try:
        answer = urllib3.request(
            "GET", f"{url.rstrip('/')}/readyz?verbose", timeout=_ANSWER_S, retries=False
        )
        return wire.Readiness.from_json(as_object(json.loads(answer.data)))
    except (urllib3.exceptions.HTTPError, ValueError):
        return wire.Readiness()


def _parts(health: wire.Readiness) -> Iterator[Finding]:
    for name, state in health.parts.items():
        if state not in ("ok", "unknown"):
            yield Finding(
                f"{_WORDS.get(name, name)}: {state}. "
                f"{health.advice.get(name, 'Ask the operator of the gateway.')}"
            )
    gateway_version = health.version
    if gateway_version and not _alike(gateway_version, __version__):
        yield Finding(
            f"the gateway is MecaPy {gateway_version}, this is {__version__}: "
            f"{_upgrade(gateway_version, 'here', 'the gateway')}"
        )
    if (
        (ahead_s := _ahead_s(health))
        and abs(ahead_s) > _CLOCK_S
        and health.parts.get("clock") == "ok"
    ):
        offset = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the gateway's"
        yield Finding(f"this machine's clock is {offset}: set it right (NTP)")


def _ahead_s(health: wire.Readiness) -> float | None:
    """How far our clock is ahead of the gateway's."""
    return (datetime.now(UTC) - health.now).total_seconds() if health.now else None


def _alike(one: str, other: str) -> bool:
    return one.split(".")[:2] == other.split(".")[:2]


def _upgrade(theirs: str, here: str, there: str) -> str:
    """Says which of the two is older. `here` and `there`: the places of installation."""
    older = there if _numbers(theirs) < _numbers(__version__) else here
    return (
        f"upgrade {older} (`pip install --upgrade mecapy-jupyter`), both must be the same "
        f"'major.minor'"
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _worker(worker: wire.WorkerInfo, gateway: wire.Readiness) -> Iterator[Finding]:
    """All of a worker's report is optional, because an older one lacks some of it."""
    name = f"worker {worker.id or '?'}"
    python = worker.python
    if python and minor(python) != minor():
        yield Finding(
            f"{name} runs Python {python}, this is {minor()}: cells with variables will be "
            f"refused; use Python {python} here"
        )
    else:
        runs = f" (Python {python})" if python else ""
        yield Finding(f"{name} is alive{runs}", good=True)
    if worker.version and gateway.version and not _alike(worker.version, gateway.version):
        yield Finding(
            f"{name} is MecaPy {worker.version}, its gateway {gateway.version}: install the same "
            f"on both"
        )
    for part, advice in worker.health.items():
        shared = advice == gateway.advice.get(part)
        yield Finding(
            f"{name}, {_WORDS.get(part, part)}: {'as at the gateway' if shared else advice}"
        )
    if worker.confinement:
        yield _confinement(name, worker.confinement)
    if worker.network is not None:
        reached = ", ".join(worker.network)
        tasks = f"lets its tasks reach {reached}" if reached else "gives its tasks no network"
        yield Finding(f"{name} {tasks}", good=True)


def _confinement(name: str, held: wire.ConfinementInfo) -> Finding:
    """The layers that confine a task there. A missing one is a fault only if `strict` needs it."""
    layers = [
        f"landlock {held.landlock}" if layer == "landlock" and held.landlock else layer
        for layer in held.layers
    ]
    missing = ", ".join(f"{layer}: {why}" for layer, why in held.missing.items())
    if held.level == "strict":
        lacks = f" (not here: {missing})" if missing else ""
        return Finding(f"{name} confines its tasks: {', '.join(layers)}{lacks}", good=True)
    through = f", and these attacks succeed: {', '.join(held.through)}" if held.through else ""
    return Finding(
        f"{name} does not confine its tasks fully (missing: {missing}{through}): let only people "
        f"you trust use it"
    )

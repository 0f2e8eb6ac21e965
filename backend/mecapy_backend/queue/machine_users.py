"""Redis users of machines: each has one of its own, which may use the queue and the events and no
session of the page, and which is gone when the machine is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mecapy_backend.queue import keys
from mecapy_backend.queue.queue import Queue

_RIGHTS = (
    f"~{keys.QUEUE}*", f"~{keys.PROBE}*", f"~{keys.events('*')}", f"&{keys.CONTROL}",
    "+@all", "-@admin", "-@dangerous", "+info", "+client|unblock",
)  # fmt: skip


def user_name(stack: str, machine: str) -> str:
    return f"mecapy-{stack}-{machine}"


async def make_user(queue: Queue, stack: str, machine: str, password_digest: str) -> str:
    """Its name. `password_digest`: SHA-256, all that Redis needs to know."""
    name = user_name(stack, machine)
    await _acl(queue, "SETUSER", name, "reset", "on", f"#{password_digest}", *_RIGHTS)
    return name


async def keep_users(queue: Queue, stack: str, digests: Mapping[str, str]) -> list[str]:
    """Those of this stack's machines that are not among these are removed, with their connections;
    a Redis that has lost one (they are not on its disk) gets it again. The names of those removed.
    """
    prefix = user_name(stack, "")
    found = cast("list[bytes | str]", await _acl(queue, "USERS"))
    names = {one.decode() if isinstance(one, bytes) else one for one in found}
    gone = [n for n in names if n.startswith(prefix) and n.removeprefix(prefix) not in digests]
    if gone:
        await _acl(queue, "DELUSER", *gone)
    for machine, password_digest in digests.items():
        if user_name(stack, machine) not in names:
            await make_user(queue, stack, machine, password_digest)
    return gone


async def _acl(queue: Queue, *words: str) -> object:
    asked = cast(Any, queue).execute_command  # redis-py leaves its answer without a type
    return await asked("ACL", *words)

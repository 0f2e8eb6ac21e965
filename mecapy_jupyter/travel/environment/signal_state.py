"""Signal handlers of the notebook (`signal.signal(SIGALRM, stop)`), without which a signal ends the
task. Signals that end or interrupt a process belong to the kernel and the worker.
"""

from __future__ import annotations

import pickle
import signal
from typing import Any

from mecapy_jupyter.travel.environment import state_pickler

_THE_USERS = tuple(
    getattr(signal, name)
    for name in ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)  # Windows has none of them
)


def handlers() -> dict[int, Any]:
    """Signal → the notebook's handler."""
    held = {int(each): signal.getsignal(each) for each in _THE_USERS}
    return {number: handler for number, handler in held.items() if state_pickler.is_users(handler)}


def get() -> dict[int, bytes]:
    """Signal → pickle of the notebook's handler."""
    found = {number: state_pickler.dumps(handler) for number, handler in handlers().items()}
    return {number: data for number, data in found.items() if data is not None}


def put(state: dict[int, bytes]) -> None:
    for number in handlers().keys() - state.keys():
        signal.signal(number, signal.SIG_DFL)
    for number, data in state.items():
        signal.signal(number, pickle.loads(data))  # noqa: S301 our own state

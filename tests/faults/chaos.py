"""Who kills and stops things at random while a soak runs, and counts it by kind. Every fault comes
from outside, as in real life.

It runs in the stack's own thread; the load is in `customers`. What it has taken away it puts back
before it returns.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psutil

from .processes import Process
from .stack import LEASE_S, Stack

_PAUSE_S = (0.0, 0.6)
_STOPPED_S = (0.3, 2.5 * LEASE_S)
_AWAY_S = (0.0, 2.0)


class Chaos:
    def __init__(self, stack: Stack, rng: random.Random, for_s: float, at_least: int = 0) -> None:
        self.kills: Counter[str] = Counter()
        self._stack, self._rng, self._for_s, self._at_least = stack, rng, for_s, at_least
        self._faults: dict[str, tuple[int, Callable[[], bool]]] = {
            "worker kill -9": (6, self._worker_killed),
            "worker SIGSTOP": (3, self._worker_stopped),
            "worker SIGTERM": (3, self._worker_ended),
            "zygote kill -9": (3, self._zygote_killed),
            "child kill -9": (8, self._child_killed),
            "gateway kill -9": (2, self._gateway_killed),
            "gateway SIGTERM": (2, self._gateway_ended),
            "Redis kill -9": (2, self._redis_restarted),
            "PostgreSQL SIGQUIT": (1, lambda: self._postgres_restarted(signal.SIGQUIT)),
            "PostgreSQL SIGINT": (1, lambda: self._postgres_restarted(signal.SIGINT)),
        }

    def run(self) -> None:
        """For so long, and until that many faults have struck."""
        until = time.monotonic() + self._for_s
        while time.monotonic() < until or self.kills.total() < self._at_least:
            name = self._rng.choices(
                list(self._faults), [weight for weight, _ in self._faults.values()]
            )[0]
            if self._faults[name][1]():
                self.kills[name] += 1
            time.sleep(self._rng.uniform(*_PAUSE_S))

    def _any(self, name: str) -> Process:
        return self._rng.choice(self._stack.of(name))

    def _replaced(self, process: Process) -> bool:
        """After its death: another in its place."""
        self._stack.end(process)
        if process.name == "gateway":
            self._stack.gateway(process.port)
        else:
            self._stack.worker()
        return True

    def _worker_killed(self) -> bool:
        victim = self._any("worker")
        victim.kill()
        return self._replaced(victim)

    def _worker_ended(self) -> bool:
        victim = self._any("worker")
        victim.signal(signal.SIGTERM)
        assert victim.ended() == 0, victim.said()[-3000:]
        return self._replaced(victim)

    def _worker_stopped(self) -> bool:
        victim = self._any("worker")
        victim.signal(signal.SIGSTOP)
        time.sleep(self._rng.uniform(*_STOPPED_S))
        victim.signal(signal.SIGCONT)
        return True

    def _zygote_killed(self) -> bool:
        with suppress(psutil.Error, StopIteration):  # it is just being replaced
            self._any("worker").zygote().kill()
            return True
        return False

    def _child_killed(self) -> bool:
        with suppress(psutil.Error, StopIteration, IndexError, ProcessLookupError):
            self._rng.choice(self._any("worker").children()).kill()
            return True
        return False

    def _gateway_killed(self) -> bool:
        victim = self._any("gateway")
        victim.kill()
        return self._replaced(victim)

    def _gateway_ended(self) -> bool:
        victim = self._any("gateway")
        victim.signal(signal.SIGTERM)
        victim.ended()
        return self._replaced(victim)

    def _redis_restarted(self) -> bool:
        self._stack.services.stop_valkey()
        time.sleep(self._rng.uniform(*_AWAY_S))
        self._stack.services.start_valkey()
        return True

    def _postgres_restarted(self, how: signal.Signals) -> bool:
        self._stack.services.stop_postgres(how)
        time.sleep(self._rng.uniform(*_AWAY_S))
        self._stack.services.start_postgres()
        return True

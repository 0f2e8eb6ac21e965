"""Users of a soak: each submits orders, with the same key again until some gateway has answered,
and waits for their ends.

As a notebook does it, over HTTP only, in a thread of its own. What they submit is in `orders`; who
kills meanwhile is in `chaos`.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from . import orders
from .chaos import Chaos
from .orders import MIXED, Order
from .stack import TOKEN, Stack

_AGAIN_S = 0.1
_RESUBMIT = 0.05  # so often the same request comes once more, after it was answered
_BATCH = 12
_ENDS_WITHIN_S = 300.0
CUSTOMERS = 6


@dataclass
class Ledger:
    """What was promised to whom. Shared by all customers."""

    orders: dict[str, Order] = field(default_factory=dict[str, Order])
    wrong: list[str] = field(default_factory=list[str])
    tries: int = 0
    refused: int = 0
    resubmitted: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Customer(threading.Thread):
    """Until it has no more orders, or `over` says so; then until the last one has its end."""

    def __init__(
        self,
        rng: random.Random,
        orders: Iterator[Order],
        urls: list[str],
        token: str,
        ledger: Ledger,
        over: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._rng, self._orders, self._urls, self._ledger, self._over = (
            rng,
            orders,
            urls,
            ledger,
            over,
        )
        self._http = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=10)
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._over.is_set():
                batch = [
                    self._submit(order)
                    for order in itertools.islice(self._orders, self._rng.randint(1, _BATCH))
                ]
                if not batch:
                    break
                for task_id, order in batch:
                    if order.cancel_after_s is not None:
                        time.sleep(order.cancel_after_s)
                        self._until_answered("POST", f"/tasks/{task_id}/cancel")
                for task_id, _ in batch:
                    self._wait(task_id)
        except BaseException as error:
            self.failed = error
        finally:
            self._http.close()

    def _submit(self, order: Order) -> tuple[str, Order]:
        task_id = self._post(order)
        with self._ledger.lock:
            if task_id in self._ledger.orders:
                self._ledger.wrong.append(f"{task_id} was given to two orders")
            self._ledger.orders[task_id] = order
        if self._rng.random() < _RESUBMIT:
            with self._ledger.lock:
                self._ledger.resubmitted += 1
            if (second := self._post(order)) != task_id:
                self._ledger.wrong.append(f"one key, two tasks: {task_id} and {second}")
        return task_id, order

    def _post(self, order: Order) -> str:
        return self._until_answered(
            "POST", "/tasks", json=order.body, headers={"Idempotency-Key": order.key}
        )["task_id"]

    def _wait(self, task_id: str) -> None:
        for pause_s in _longer():
            if self._until_answered("GET", f"/tasks/{task_id}")["status"] not in (
                "queued",
                "running",
            ):
                return
            time.sleep(pause_s)

    def _until_answered(self, method: str, path: str, **more: Any) -> Any:
        """Asks any gateway, as often as it takes: what is refused for now (429, 503) or broken off
        is asked again.
        """
        while True:
            self._ledger.tries += 1
            with suppress(httpx.HTTPError):
                answer = self._http.request(method, self._rng.choice(self._urls) + path, **more)
                if answer.status_code < 300:
                    return answer.json()
                assert answer.status_code in (429, 503), (
                    f"{method} {path}: {answer.status_code} {answer.text}"
                )
                assert answer.headers.get("Retry-After"), (
                    f"{method} {path}: {answer.status_code} without Retry-After"
                )
            self._ledger.refused += 1
            time.sleep(_AGAIN_S)


def _longer() -> Iterator[float]:
    pause_s = 0.02
    while True:
        yield pause_s
        pause_s = min(pause_s * 1.5, 0.5)


def at_work(
    stack: Stack,
    seed: str,
    *,
    kinds: Mapping[str, int] = MIXED,
    most: int | None = None,
    calm: bool = False,
    chaos: Chaos | None = None,
) -> Ledger:
    """Lets customers work while `chaos` runs, or until there were `most` orders; returns when each
    of these has its end.
    """
    ledger, over = Ledger(), threading.Event()
    urls = [gateway.url for gateway in stack.of("gateway")]
    customers = list[Customer]()
    for number in range(CUSTOMERS):
        rng = random.Random(f"{seed}/{number}")
        wanted = itertools.islice(orders.endless(rng, kinds, calm=calm), most and most // CUSTOMERS)
        customers.append(Customer(rng, wanted, urls, TOKEN, ledger, over))
        customers[-1].start()
    try:
        if chaos:
            chaos.run()
    finally:
        if chaos or most is None:
            over.set()
    for customer in customers:
        customer.join(_ENDS_WITHIN_S if most is None else None)
        assert not customer.is_alive(), (
            f"still waiting, minutes after the last fault\n{stack.logs()}"
        )
        if customer.failed:
            raise customer.failed
    return ledger

"""Every few seconds a worker renews its leases and learns which tasks are still its own and which
must stop. A cancel comes twice: at once through Redis, where it may get lost, and reliably with the
next renewal. `main` runs both loops.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import cache
from typing import Any, cast

from redis.exceptions import RedisError

from mecapy_backend.fleet import classes
from mecapy_backend.queue import keys
from mecapy_backend.store import tasks, workers
from mecapy_backend.store.log import events
from mecapy_backend.store.people import shares
from mecapy_jupyter import wire
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.wire import JsonObject
from mecapy_worker import metrics
from mecapy_worker.context import Context, RunningTask
from mecapy_worker.log import log
from mecapy_worker.retry import backoff, is_transient

LISTEN_S = 5.0
_AGAIN_S = 0.5


async def renew(ctx: Context, info: JsonObject) -> None:
    """Renew the leases forever. If PostgreSQL is unavailable, tasks continue: afterwards they are
    still ours, or the fence keeps us from recording them.
    """
    strangers: set[tuple[str, int]] = set()
    while True:
        try:
            running = dict(ctx.running)  # before asking: what starts meanwhile is not in the answer
            strangers = await _settle(
                ctx,
                running,
                await tasks.renew(ctx.db, ctx.worker_id, ctx.settings.lease_s),
                strangers,
            )
            ctx.lease.renewed_s = time.monotonic()
            report = info | {"running": len(ctx.running), "drained": ctx.drained}
            ctx.lease.hear(await workers.heartbeat(ctx.db, ctx.worker_id, report), ctx.settings)
            await tell_usage(ctx)
            metrics.renewed.set_to_current_time()
        except Exception as error:
            if is_transient(error):
                log.warning("lease not renewed", error=repr(error))
            else:
                log.exception("lease not renewed")
            # Sooner, because the lease runs out and a new worker is not known yet.
            await asyncio.sleep(min(_AGAIN_S, ctx.settings.heartbeat_s))
            continue
        await asyncio.sleep(ctx.settings.heartbeat_s)


@cache
def price_of(file: str, machine_class: str) -> float:
    """Euros an hour of a machine of this class; 0: not known here."""
    try:
        kind = classes.named(classes.read(file).classes, machine_class)
    except ConfigError as problem:
        log.warning("no price", why=str(problem))
        return 0.0
    return kind.price if kind else 0.0


async def tell_usage(ctx: Context) -> None:
    """Report what the tasks took that have ended since. A killed worker loses the last
    seconds of it.
    """
    took = dict(ctx.unsaved_usage)
    ctx.unsaved_usage.clear()
    try:
        if took:
            own = ctx.settings
            price = price_of(own.machines, own.machine_class)
            await shares.add_usage(ctx.db, took, ctx.worker_id, own.worker_slots, price)
    except BaseException:
        for owner, each in took.items():
            ctx.charge(owner, each)
        raise


async def _settle(
    ctx: Context,
    mine: dict[str, RunningTask],
    held: list[tasks.Lease],
    strangers: set[tuple[str, int]],
) -> set[tuple[str, int]]:
    """Stop what is cancelled or lost. Returns the tasks that are ours in the store but do not run
    here (an answer to `start` was lost); the second time they are given back.
    """
    answers = {answer.task_id: answer for answer in held}
    for task_id, running in mine.items():
        answer = answers.get(task_id)
        if answer is None or answer.attempt != running.attempt:
            running.stop("lost")
        elif answer.cancel_requested:
            running.stop("cancel")
        else:
            running.allow(answer.extra_s)
    unknown = {
        (answer.task_id, answer.attempt) for answer in held if answer.task_id not in ctx.running
    }
    for task_id, attempt in unknown & strangers:
        log.warning("given back", task=task_id, attempt=attempt, why="its start was never answered")
        # Else the reconciler enqueues it.
        if await tasks.requeue(ctx.db, task_id, attempt) == wire.RUNNING:
            await _end(ctx, task_id, attempt, tasks.once_outcome())
    return unknown


async def _end(ctx: Context, task_id: str, attempt: int, outcome: wire.Outcome) -> None:
    if await tasks.finish(ctx.db, task_id, attempt, outcome):
        metrics.count_end(outcome)
        await events.append_end(ctx.queue, task_id, outcome)


async def listen(ctx: Context) -> None:
    """Stop cancelled tasks within milliseconds, forever."""
    failures = 0
    while True:
        try:
            channel: Any = ctx.queue.pubsub()  # pyright: ignore[reportUnknownMemberType]
            async with channel:
                await channel.subscribe(keys.CONTROL, keys.control(ctx.worker_id))
                while True:
                    message = await channel.get_message(timeout=LISTEN_S)
                    failures = 0
                    if message and message["type"] == "message":
                        _obey(ctx, message["data"])
        except (RedisError, OSError) as error:
            failures += 1
            log.warning("not listening", error=repr(error))
            await asyncio.sleep(backoff.compute(failures))


def _obey(ctx: Context, data: bytes) -> None:
    try:
        match json.loads(data):
            case {"cancel": str(task_id)}:
                if running := ctx.running.get(task_id):
                    running.stop("cancel")
            case {"extend": str(task_id), "extra_s": float(extra_s)}:
                if running := ctx.running.get(task_id):
                    running.allow(extra_s)
            case {"comms": str(task_id), "messages": messages}:
                if (running := ctx.running.get(task_id)) and running.hear:
                    running.hear(cast("list[JsonObject]", messages))
            case _:
                raise ValueError
    except ValueError:
        log.warning("not understood", channel=keys.CONTROL)

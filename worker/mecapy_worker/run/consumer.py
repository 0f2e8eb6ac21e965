"""arq's worker with a different main loop: it blocks in the queue instead of polling, and starts
what it takes at once. It uses arq's signals, slots, context, bookkeeping of running jobs, and
start-up; not its polling, job keys, pickles, retries and results. Written against arq 0.26 to 0.28.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from signal import Signals
from typing import Any, cast

from arq import func
from arq.worker import Worker
from redis.exceptions import RedisError

from mecapy_backend.queue import keys
from mecapy_backend.queue.queue import PoppedTask
from mecapy_worker import metrics
from mecapy_worker.context import Context
from mecapy_worker.log import log
from mecapy_worker.retry import backoff
from mecapy_worker.run import readiness

WAIT_S = 4.0  # below the queue's socket timeout
UNFIT_S = 0.5

RunTask = Callable[[Mapping[str, Context], str], Awaitable[None]]


class Consumer(Worker):
    """`async_run()` returns after SIGTERM or SIGINT (`stop()`): it takes nothing more, tasks have
    `grace_s` to end, and the rest is cancelled, which requeues it. A second signal ends the grace
    period.
    """

    def __init__(
        self,
        context: Context,
        run_task: RunTask,
        *,
        grace_s: float = 10.0,
        handle_signals: bool = True,
    ) -> None:
        self.context, self.grace_s = context, grace_s
        self._waiting_as = set[int | None]()
        self._running: dict[
            asyncio.Task[None], str
        ] = {}  # arq's `tasks`, by id, is not complete, because an id may be delivered twice
        self.express = asyncio.Semaphore(1)  # one task more than there are slots, while it is short
        self._unfit = ""
        self.leaving = asyncio.Event()
        super().__init__(
            [func(run_task, name="run_task")],  # pyright: ignore[reportArgumentType]
            queue_name=keys.QUEUE,
            redis_pool=context.queue,
            max_jobs=context.settings.worker_slots,
            keep_result=0,
            handle_signals=handle_signals,
            ctx={"context": context},
        )
        # arq's own has one slot more, for the job that it inspects.
        self.sem = asyncio.BoundedSemaphore(self.max_jobs)

    async def main(self) -> None:
        """Wait for a free slot, then in the queue, then start. Returns when stopped, after every
        task has ended or been requeued.
        """
        python, machine_class = self.context.python, self.context.settings.machine_class
        short, others = (
            keys.lanes(python, short=kind, machine_class=machine_class) for kind in (True, None)
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leave_the_queue())
            if self.context.settings.short_s:
                group.create_task(self._serve(group, self.express, short))
            await self._serve(group, self.sem, others)

    async def _serve(
        self, group: asyncio.TaskGroup, slots: asyncio.Semaphore, lanes: Sequence[str]
    ) -> None:
        failures = 0
        while self.allow_pick_jobs:
            waiting_as: int | None = None
            try:
                async with self.context.queue.client() as connection:
                    waiting_as = await connection.client_id()  # pyright: ignore[reportUnknownMemberType]
                    self._waiting_as.add(waiting_as)
                    while self.allow_pick_jobs:
                        taken = await self._next(connection, group, slots, lanes)
                        # The first lane with a task is used; the others have their turn next.
                        lanes = sorted(lanes, key=lambda lane: lane == taken)
                        failures = 0
            except (RedisError, OSError) as error:
                failures += 1
                log.warning("waiting", what="queue", failures=failures, error=repr(error))
                await asyncio.sleep(backoff.compute(failures))
            finally:
                self._waiting_as.discard(waiting_as)

    async def _next(
        self,
        connection: Any,
        group: asyncio.TaskGroup,
        slots: asyncio.Semaphore,
        lanes: Sequence[str],
    ) -> str:
        """Take one id from the queue when there is a slot, and start it. Returns its lane; "": no
        task.
        """
        await slots.acquire()
        try:
            takes = self.allow_pick_jobs and await self._fit()
            popped = await connection.bzpopmin(lanes, WAIT_S + random.random()) if takes else None
        except BaseException:
            slots.release()
            raise
        if popped is None:
            slots.release()
            return ""
        taken = PoppedTask.of(popped)
        self.job_counter += 1
        task = self.tasks[taken.task_id] = group.create_task(self.run_job(taken.task_id, taken))
        self._running[task] = taken.task_id
        # One that is cancelled before it starts never gets there.
        task.add_done_callback(lambda task: self._running.pop(task, None))
        if slots is self.sem:
            task.add_done_callback(lambda _: self._release_sem_dec_counter_on_complete())
        else:
            group.create_task(self._lend(task))
        if taken.more:
            group.create_task(_tell(self.context.queue.refill(taken.lane)))
        return taken.lane

    async def _lend(self, task: asyncio.Task[None]) -> None:
        """The extra slot belongs to a task while it is short. Then the task takes a normal slot,
        once one is free.
        """
        await asyncio.wait([task], timeout=self.context.settings.short_s)
        free_slot = asyncio.ensure_future(self.sem.acquire())
        await asyncio.wait([task, free_slot], return_when=asyncio.FIRST_COMPLETED)
        self.express.release()
        await asyncio.wait([task])
        self.job_counter -= 1
        if not free_slot.cancel():
            self.sem.release()

    async def _fit(self) -> bool:
        """Whether to take a task now. A worker that cannot run it would withhold it from others."""
        why, before = readiness.unfit(self.context), self._unfit
        self._unfit = why
        if bool(why) != bool(before):
            log.warning("takes no tasks", why=why) if why else log.info("takes tasks again")
        if why:
            await asyncio.sleep(UNFIT_S)
        return not why

    async def run_job(self, job_id: str, score: PoppedTask) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One task from its id to its end. Never raises, so that the worker always continues."""
        metrics.waited(job_id, score.waited_s)
        try:
            await self.functions["run_task"].coroutine(self.ctx, job_id)
            self.jobs_complete += 1
        except asyncio.CancelledError:
            self.jobs_retried += 1
        except Exception:
            self.jobs_failed += 1
            log.exception("not carried to an end", task=job_id)
        finally:
            this = cast("asyncio.Task[None]", asyncio.current_task())
            if self.tasks.get(job_id) is this:
                del self.tasks[job_id]
            self._running.pop(this, None)
            if score.capped and job_id not in self._running.values():
                await _tell(self.context.queue.release(job_id))

    def handle_sig(self, signum: Signals) -> None:
        log.info("stopping", signal=signum.name, running=len(self._running))
        self.stop()

    def stop(self) -> None:
        """Take nothing more. The second call: do not wait either."""
        if self.allow_pick_jobs:
            self.leave()
            self.loop.call_later(self.grace_s, self._give_back)
        else:
            self._give_back()

    def leave(self) -> None:
        """Take nothing more, and end after what runs, however long it takes."""
        self.allow_pick_jobs = False
        self.leaving.set()

    @property
    def busy(self) -> bool:
        return bool(self._running)

    def _give_back(self) -> None:
        for task in self._running:
            task.cancel()

    async def _leave_the_queue(self) -> None:
        """Wake our own connection from BZPOPMIN. Cancelling it could lose an id that Redis has just
        popped.
        """
        await self.leaving.wait()
        while self._waiting_as:
            try:
                for waiting in tuple(self._waiting_as):
                    await self.context.queue.client_unblock(cast(int, waiting))  # pyright: ignore[reportUnknownMemberType]
            except (RedisError, OSError) as error:
                log.warning("waiting", what="to leave the queue", error=repr(error))
            await asyncio.sleep(0.05)


async def _tell(queue: Awaitable[object]) -> None:
    """A queue operation in the background; the reconciler repeats a lost one a second later."""
    try:
        await queue
    except (RedisError, OSError) as error:
        log.warning("queue not told", error=repr(error))

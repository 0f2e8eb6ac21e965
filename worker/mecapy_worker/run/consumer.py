"""arq's worker, with its heart exchanged: it waits in the queue instead of polling it, and starts
what it takes at once.

Of arq stand: signals, slots, the context, the running jobs' book-keeping, start-up. Not used: its
polling, job keys, pickles, retries and results. Written against arq 0.26–0.28.
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
    """`async_run()` returns after SIGTERM or SIGINT (`stop()`): nothing is claimed any more, tasks
    have `grace_s` to end, the rest is cancelled, which gives it back. A second signal cuts the
    grace short.
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
        ] = {}  # an id may be delivered twice, so arq's `tasks`, by id, does not know all
        self.express = asyncio.Semaphore(
            1
        )  # one task more than there are slots, as long as it is short
        self._unfit = ""
        self._stopping = asyncio.Event()
        super().__init__(
            [func(run_task, name="run_task")],  # pyright: ignore[reportArgumentType]
            queue_name=keys.QUEUE,
            redis_pool=context.queue,
            max_jobs=context.settings.worker_slots,
            keep_result=0,
            handle_signals=handle_signals,
            ctx={"context": context},
        )
        self.sem = asyncio.BoundedSemaphore(
            self.max_jobs
        )  # arq's own has one place more, for the job it is looking at

    async def main(self) -> None:
        """Wait for a free slot, then in the queue, then start. Returns when stopped and every task
        is done or given back.
        """
        python = self.context.python
        async with asyncio.TaskGroup() as group:
            group.create_task(self._leave_the_queue())
            if self.context.settings.short_s:
                group.create_task(self._serve(group, self.express, keys.lanes(python, short=True)))
            await self._serve(group, self.sem, keys.lanes(python))

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
                        # The first lane that has a task gives it: others have their turn next.
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
        """Take one id from the queue, once there is a slot for it, and start it. The lane it stood
        in; "": none had any.
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
        task.add_done_callback(
            lambda task: self._running.pop(task, None)
        )  # one that is cancelled before it begins never gets there
        if slots is self.sem:
            task.add_done_callback(lambda _: self._release_sem_dec_counter_on_complete())
        else:
            group.create_task(self._lend(task))
        if taken.more:
            group.create_task(_tell(self.context.queue.refill(taken.lane)))
        return taken.lane

    async def _lend(self, task: asyncio.Task[None]) -> None:
        """The extra slot is a short task's for as long as that is short. Then it takes one as all
        others do, as soon as one is free.
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
        """Whether to take a task now. A worker that cannot carry it would take it from those that
        can.
        """
        why, before = readiness.unfit(self.context), self._unfit
        self._unfit = why
        if bool(why) != bool(before):
            log.warning("takes no tasks", why=why) if why else log.info("takes tasks again")
        if why:
            await asyncio.sleep(UNFIT_S)
        return not why

    async def run_job(self, job_id: str, score: PoppedTask) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One task from its id to its end. Never raises: whatever goes wrong here, the worker
        serves on.
        """
        metrics.stage_s["queue"].observe(score.waited_s)
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
        """Claim nothing more. The second time: do not wait either."""
        if self.allow_pick_jobs:
            self.allow_pick_jobs = False
            self._stopping.set()
            self.loop.call_later(self.grace_s, self._give_back)
        else:
            self._give_back()

    def _give_back(self) -> None:
        for task in self._running:
            task.cancel()

    async def _leave_the_queue(self) -> None:
        """Wake our own connection out of BZPOPMIN. Cancelling it instead could lose an id that
        Redis has just popped for us.
        """
        await self._stopping.wait()
        while self._waiting_as:
            try:
                for waiting in tuple(self._waiting_as):
                    await self.context.queue.client_unblock(cast(int, waiting))  # pyright: ignore[reportUnknownMemberType]
            except (RedisError, OSError) as error:
                log.warning("waiting", what="to leave the queue", error=repr(error))
            await asyncio.sleep(0.05)


async def _tell(queue: Awaitable[object]) -> None:
    """Something for the queue beside the work; what is lost, the reconciler does a second later."""
    try:
        await queue
    except (RedisError, OSError) as error:
        log.warning("queue not told", error=repr(error))

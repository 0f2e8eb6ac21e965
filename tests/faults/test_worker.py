"""Workers, zygotes and children that die or stop at any moment."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import psutil
import pytest

from ..gate import Gate
from .asking import held
from .processes import Process, gone
from .row_locks import asked_to_start, forget_waiting, locked, submit_held, waiting_for_rows
from .stack import Stack
from .task import printed

SLOW = "import os, time\nprint('pid', os.getcwd(), flush=True)\ntime.sleep({})\n'done'"
PRINTING = (
    "import time\nfor n in range(10):\n    print('line', n, flush=True)\n    time.sleep(0.05)\n"
)


def test_worker_killed_after_claim(stack: Stack) -> None:
    """kill -9 between the pop from the queue and `start`: the reconciler enqueues the row again,
    and it runs once.
    """
    task = submit_held(stack, "'once'", "once")
    with asked_to_start(stack, task):
        assert stack.row(task)["state"] == "queued"
        for worker in stack.of("worker"):
            worker.kill()
        forget_waiting(stack)
    stack.worker()
    assert stack.final(task)["attempt"] == 1


def test_worker_killed_in_mid_run(stack: Stack, gate: Gate) -> None:
    """kill -9 in mid-run: its child dies with it, another worker runs the task again, and the lost
    attempt's output is told apart.
    """
    task = stack.submit(PRINTING + held(gate, "done"), "done")
    stack.until_running(task, "line 3")
    pid, victim = stack.pid_of(task), stack.worker_of(task)
    victim.kill()
    assert gone(pid)
    gate.open()
    row = stack.final(task)
    assert row["attempt"] == 2 and str(victim.pid) not in row["worker"]
    assert printed(stack.events(task)).splitlines()[:-1] == [f"line {n}" for n in range(10)]


def test_worker_killed_between_start_and_run(stack: Stack) -> None:
    """kill -9 when the row says `running` and no line of the code has run: it runs elsewhere."""
    zygotes = list[psutil.Process]()
    for worker in stack.of("worker"):
        zygote, children = ready(stack, worker)
        zygotes.append(zygote)
        for each in (zygote, *children):
            each.suspend()
    task = stack.submit("'begun'", "begun")
    stack.until(lambda: stack.row(task)["state"] == "running", "it is started")
    stack.worker_of(task).kill()
    for worker in stack.of("worker"):
        worker.kill()
    for zygote in zygotes:
        zygote.resume()  # it finds its worker dead
    stack.worker()
    row = stack.final(task)
    assert (row["attempt"], row["losses"]) == (2, 1)
    assert all(gone(zygote.pid) for zygote in zygotes)


def test_worker_killed_between_result_and_row(stack: Stack, gate: Gate) -> None:
    """kill -9 when the result is in the store and not yet in the row: it runs again, and its result
    is the same blob.
    """
    task = stack.submit(held(gate, "x" * 10), "x" * 10)
    victim = stack.until_running(task)
    with locked(stack, task):
        gate.open()
        stack.until(lambda: waiting_for_rows(stack, "outcome="), "the worker waits to record")
        victim.kill()
        forget_waiting(stack)
    assert stack.final(task)["attempt"] == 2


def test_worker_killed_after_row_before_cleanup(stack: Stack, gate: Gate) -> None:
    """kill -9 when the row has its end and nobody has been told: it is not run again, and who
    follows it hears of the end.
    """
    task = stack.submit(held(gate, "kept"), "kept")
    victim = stack.until_running(task)
    victim.redis.mode("hole")
    gate.open()
    stack.final(task)
    stack.until(lambda: victim.redis.hit, "it tells of the end")
    victim.kill()
    assert stack.row(task)["attempt"] == 1


def test_zygote_killed_idle(stack: Stack) -> None:
    """kill -9 of the idle workers' zygotes: each worker starts another by itself, and the next
    tasks run.
    """
    before = {worker: ready(stack, worker)[0] for worker in stack.of("worker")}
    for zygote in before.values():
        zygote.kill()
        assert gone(zygote.pid)
    for worker, zygote in before.items():
        stack.until(
            lambda worker=worker, zygote=zygote: _zygote(worker) not in (0, zygote.pid),
            "a new zygote",
        )
    for task in [stack.submit(str(n), n) for n in range(4)]:
        stack.final(task)


def test_zygote_killed_in_mid_run(stack: Stack, gate: Gate) -> None:
    """kill -9 of the zygote in mid-run: its child dies with it and the task runs again."""
    task = stack.submit(PRINTING + held(gate, "done"), "done")
    worker = stack.until_running(task)
    worker.zygote().kill()
    stack.until(lambda: stack.row(task)["attempt"] == 2, "it runs again")
    gate.open()
    assert stack.final(task)["attempt"] == 2
    assert printed(stack.events(task)).splitlines()[:-1] == [f"line {n}" for n in range(10)]


def test_spare_child_killed(stack: Stack) -> None:
    """kill -9 of the children that wait ready: others are made, and no task hears of it."""
    victims = [child for worker in stack.of("worker") for child in ready(stack, worker)[1]]
    for child in victims:
        child.kill()
    for task in [stack.submit(str(n), n) for n in range(6)]:
        assert stack.final(task)["attempt"] == 1


def test_child_killed_that_has_not_read_its_task(stack: Stack) -> None:
    """kill -9 of the children that wait, after a task has gone to one: another child runs it."""
    victims = [child for worker in stack.of("worker") for child in ready(stack, worker)[1]]
    for child in victims:
        child.suspend()
    task = stack.submit("1", 1)
    stack.until(
        lambda: any(
            "in child" in line and task.id in line
            for worker in stack.of("worker")
            for line in worker.said().splitlines()
        ),
        "a child has it",
    )
    for child in victims:
        child.kill()
    assert stack.final(task)["attempt"] == 1


def test_child_killed_while_its_end_is_recorded(stack: Stack, gate: Gate) -> None:
    """kill -9 of a child that has given its word, while the row is waited for: its word stands."""
    task = stack.submit(held(gate, "said"), "said")
    pid = stack.pid_of(task)
    with locked(stack, task):
        gate.open()
        stack.until(lambda: waiting_for_rows(stack, "outcome="), "the worker waits to record")
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.kill(pid, signal.SIGKILL)
    assert stack.final(task)["attempt"] == 1


def test_child_killed(stack: Stack) -> None:
    """kill -9 of a child: its task fails as killed, once; the worker serves on."""
    task = stack.submit(SLOW.format(600), state="failed")
    psutil.Process(stack.pid_of(task)).kill()
    row = stack.final(task)
    assert row["attempt"] == 1 and '"killed"' in row["outcome"]
    stack.submit("1", 1)


def test_reconcilers_race_and_die(stack: Stack, gate: Gate) -> None:
    """All workers die while a task runs, and two new ones reconcile at once:
    it is taken back once.
    """
    task = stack.submit(held(gate, 5), 5)
    stack.until_running(task)
    for worker in stack.of("worker"):
        worker.kill()
    gate.open()
    stack.worker()
    stack.worker()
    row = stack.final(task)
    assert (row["attempt"], row["losses"]) == (2, 1)


def test_worker_stopped_past_its_lease(stack: Stack, gate: Gate) -> None:
    """SIGSTOP until another worker has the task, then SIGCONT: the late attempt is killed and
    changes nothing.
    """
    task = stack.submit(held(gate, 7), 7)
    victim = stack.until_running(task)
    victim.signal(signal.SIGSTOP)
    stack.until(lambda: stack.row(task)["attempt"] == 2, "another worker has it")
    victim.signal(signal.SIGCONT)
    stack.until(
        lambda: "lost" in victim.said() or "too late" in victim.said(),
        "the late worker has noticed",
    )
    gate.open()
    assert stack.final(task)["attempt"] == 2
    stack.submit("8", 8)


@pytest.mark.long
def test_poison(stack: Stack) -> None:
    """A task that kills three workers is put aside with that reason,
    and not run a fourth time.
    """
    task = stack.submit(SLOW.format(600), state="failed")
    for attempt in (1, 2, 3):
        stack.until(
            lambda attempt=attempt: (
                stack.row(task)["attempt"] == attempt and stack.row(task)["state"] == "running"
            ),
            "it runs",
        )
        stack.worker_of(task).kill()
        stack.worker()
    row = stack.final(task)
    assert (row["attempt"], row["losses"]) == (3, 3) and '"worker_lost"' in row["outcome"]


def ready(stack: Stack, worker: Process) -> tuple[psutil.Process, list[psutil.Process]]:
    """A worker's zygote and the children that wait for tasks, once they are all there: one more
    than it has slots.
    """

    def there() -> list[psutil.Process]:
        try:
            return worker.children()
        except (psutil.Error, StopIteration, ProcessLookupError):
            return []

    all_of_them = int(worker.environment["MECAPY_WORKER_SLOTS"]) + 1
    stack.until(lambda: len(there()) >= all_of_them, "children wait")
    return worker.zygote(), there()


def _zygote(worker: Process) -> int:
    try:
        return worker.zygote().pid
    except (psutil.Error, StopIteration):
        return 0


@pytest.mark.parametrize("count", [20])
def test_delivered_many_times(stack: Stack, count: int) -> None:
    """The same id comes through the queue ten times while it runs, and again when it is over: it
    runs once.
    """
    tasks = [stack.submit(f"import time\ntime.sleep(0.02)\n{n}", n) for n in range(count)]
    with stack.redis() as redis:
        for _ in range(10):
            redis.zadd("mecapy:queue", {task.id: 1.0 for task in tasks})
            time.sleep(0.01)
        for task in tasks:
            assert stack.final(task)["attempt"] == 1
        redis.zadd("mecapy:queue", {task.id: 1.0 for task in tasks})
        stack.until(lambda: redis.zcard("mecapy:queue") == 0, "all were dropped")
    assert {stack.row(task)["attempt"] for task in tasks} == {1}

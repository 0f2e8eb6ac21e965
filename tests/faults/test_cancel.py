"""Cancels at every moment of a task's life, also of one whose worker is dead: the end is
`cancelled` or the task's own, never both.
"""

from __future__ import annotations

import signal

from ..gate import Gate
from .asking import held
from .processes import gone
from .row_locks import asked_to_start, forget_waiting, locked, submit_held, waiting_for_rows
from .stack import Stack
from .task import Task

FOREVER = "import os, time\nprint('pid', os.getcwd(), flush=True)\nwhile True: time.sleep(0.05)"


def cancelled(stack: Stack, task: Task) -> str:
    with stack.http() as http:
        return http.post(f"/tasks/{task.id}/cancel").json()["status"]


def test_cancel_before_it_is_claimed(stack: Stack) -> None:
    """Queued: it is cancelled at once and never starts."""
    for worker in stack.of("worker"):
        worker.signal(signal.SIGSTOP)
    task = stack.submit("1", state="cancelled")
    assert cancelled(stack, task) == "cancelled"
    for worker in stack.of("worker"):
        worker.signal(signal.SIGCONT)
    assert stack.final(task)["attempt"] == 0


def test_cancel_between_claim_and_start(stack: Stack) -> None:
    """A worker has taken it out of the queue and asks to start it: the cancel is first, and the
    start finds nothing.
    """
    task = submit_held(stack, "1", state="cancelled")
    with asked_to_start(stack, task):
        for worker in stack.of("worker"):
            worker.postgres.mode("hole")
        forget_waiting(stack)
    assert cancelled(stack, task) == "cancelled"
    for worker in stack.of("worker"):
        worker.postgres.mode("pass")
    assert stack.final(task)["attempt"] == 0


def test_cancel_while_it_runs(stack: Stack) -> None:
    """Running: its process is gone, and it is cancelled."""
    task = stack.submit(FOREVER, state="cancelled")
    pid = stack.pid_of(task)
    assert cancelled(stack, task) == "running"
    assert stack.final(task)["attempt"] == 1 and gone(pid)


def test_cancel_while_its_end_is_recorded(stack: Stack, gate: Gate) -> None:
    """The cancel and the end race for the row: one of both stands."""
    task = stack.submit(held(gate, "done"), "done")
    stack.until_running(task)
    with locked(stack, task):
        gate.open()
        stack.until(lambda: waiting_for_rows(stack, "outcome="), "the worker waits to record")
    assert cancelled(stack, task) in ("completed", "running")
    stack.final(task)


def test_cancel_when_it_is_over(stack: Stack) -> None:
    """Too late: it stays completed."""
    task = stack.submit("'done'", "done")
    stack.final(task)
    assert cancelled(stack, task) == "completed"


def test_cancel_of_a_task_whose_worker_is_dead(stack: Stack) -> None:
    """Its worker was killed, and nobody has noticed yet: it is cancelled when that is found, and
    not run again.
    """
    task = stack.submit(FOREVER, state="cancelled")
    stack.pid_of(task)
    victim = stack.worker_of(task)
    others = [worker for worker in stack.of("worker") if worker is not victim]
    for other in others:
        other.signal(signal.SIGSTOP)
    victim.kill()
    assert cancelled(stack, task) == "running"
    for other in others:
        other.signal(signal.SIGCONT)
    assert stack.final(task)["attempt"] == 1


def test_cancel_of_a_stopped_worker(stack: Stack) -> None:
    """SIGSTOP of its worker: the cancel renews no lease. It is cancelled without it, and nothing it
    says later counts.
    """
    task = stack.submit(FOREVER, state="cancelled")
    pid = stack.pid_of(task)
    victim = stack.worker_of(task)
    for worker in stack.of("worker"):  # else another could find the lost lease before the cancel
        worker.signal(signal.SIGSTOP)
    assert cancelled(stack, task) == "running"
    for worker in stack.of("worker"):
        if worker is not victim:
            worker.signal(signal.SIGCONT)
    assert stack.final(task)["attempt"] == 1
    victim.signal(signal.SIGCONT)
    assert gone(pid)

"""Gateways that die at any moment of a submission, and clients that repeat themselves."""

from __future__ import annotations

import time
import uuid

import httpx
import pytest

from mecapy_jupyter import wire

from .asking import UP, asked, at_once, balanced, committed, front, rows_of
from .stack import Stack
from .task import Task, printed


@pytest.mark.long
def test_gateway_killed_before_commit(stack: Stack) -> None:
    """kill -9 while the insert is on its way to PostgreSQL: nothing came to be, and the same
    request elsewhere makes one task.
    """
    doomed, key = stack.gateway(), uuid.uuid4().hex
    doomed.postgres.mode("hole")
    answer = asked(doomed.url, "'once'", key)
    stack.until(lambda: doomed.postgres.hit, "the insert is on its way")
    doomed.kill()
    assert answer.result(240) is None and rows_of(stack, key) == []
    task = stack.submit("'once'", "once", key=key)
    assert rows_of(stack, key) == [task.id] and stack.final(task)["attempt"] == 1


@pytest.mark.long
def test_gateway_killed_between_commit_and_enqueue(stack: Stack) -> None:
    """kill -9 when the row is committed and Redis has not heard of it: the reconciler enqueues it,
    though nobody asks again.
    """
    doomed, key = stack.gateway(), uuid.uuid4().hex
    doomed.redis.mode("hole")
    task_id, answer = committed(stack, doomed.url, "'once'", key)
    stack.until(lambda: doomed.redis.hit, "the push is on its way")
    doomed.kill()
    assert answer.result(240) is None
    assert stack.final(stack.owed(Task(task_id, "once")))["attempt"] == 1


def test_gateway_killed_before_its_answer(stack: Stack) -> None:
    """kill -9 when the task runs already and its client knows nothing: who repeats the request gets
    the same task.
    """
    doomed, key = stack.gateway(), uuid.uuid4().hex
    with front(stack, doomed) as way:
        way.mode("deaf")
        task_id, answer = committed(stack, way.url, UP.format(0.5, "once"), key)
        stack.until(lambda: way.hit, "the answer is on its way")
        doomed.kill()
    assert answer.result(240) is None
    assert stack.submit(UP.format(0.5, "once"), "once", key=key).id == task_id
    assert stack.sql("SELECT count(*) FROM tasks WHERE idempotency_key = $1", key)[0][0] == 1


def test_gateway_killed_while_followed(stack: Stack) -> None:
    """kill -9 under an event stream: who comes back through another gateway has missed nothing and
    hears nothing twice.
    """
    doomed, lines = stack.gateway(), [f"line {n}\n" for n in range(30)]
    task = stack.submit(
        "import time\nfor n in range(30):\n    print('line', n, flush=True)\n    "
        "time.sleep(0.05)\n'end'",
        "end",
    )
    with balanced(stack, [doomed, stack.of("gateway")[0]]) as way:
        heard = list[wire.Event]()
        for event in stack.events(task, way.url):
            heard.append(event)
            if event.type == wire.STDOUT and doomed.popen.poll() is None:
                doomed.kill()
    assert printed(heard) == "".join(lines)
    assert len({event.id for event in heard if event.type != wire.QUEUED}) == sum(
        event.type != wire.QUEUED for event in heard
    )


def test_two_hundred_retries_are_one_task(stack: Stack) -> None:
    """The same key and body 200 times at once, at two gateways: one task. The same key with another
    body: 422. A gateway that has too many at once for the moment says so, and is asked again, as
    clients do.
    """
    second, key = stack.gateway(), uuid.uuid4().hex
    first = stack.of("gateway")[0]
    with stack.http(first) as here, stack.http(second) as there:
        headers = {"Idempotency-Key": key}

        def ask(number: int) -> httpx.Response:
            until = time.monotonic() + 400
            while True:
                answer = (here, there)[number % 2].post(
                    "/tasks", json={"code": "'one'"}, headers=headers
                )
                if answer.status_code != 503 or time.monotonic() > until:
                    return answer
                time.sleep(float(answer.headers["Retry-After"]))

        made = at_once(200, ask)
        assert {answer.status_code for answer in made} == {201}
        (task_id,) = {answer.json()["task_id"] for answer in made}
        assert here.post("/tasks", json={"code": "'other'"}, headers=headers).status_code == 422
    stack.owed(Task(task_id, "one"))
    assert rows_of(stack, key) == [task_id]
    stack.end(second)

"""`mecapy workers …` and `mecapy tasks`. `admin_arguments` has the arguments."""

from __future__ import annotations

import argparse
import json

from mecapy_jupyter.client import admin_api, config, gateway_api
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared.units import clean, local_time
from mecapy_jupyter.wire import TaskPage, WorkerInfo
from mecapy_jupyter.wire.json_fields import as_object


def _gateway() -> Gateway:
    return Gateway.of(config.resolve(start=False))


def tasks(options: argparse.Namespace) -> None:
    if options.all_users or options.user:
        return _tasks_of_users(options)
    answer = _gateway().get("/tasks", limit=options.limit, state=options.state)
    if options.json:
        print(json.dumps(answer, indent=1))
        return
    page = TaskPage.from_json(as_object(answer))
    for task in page.tasks:
        print(
            f"{task.task_id}  {task.status:<9}  {local_time(task.created_at)}  "
            f"{clean(task.name, 60)}"
        )
    if not page.tasks:
        print("no tasks yet")


def _tasks_of_users(options: argparse.Namespace) -> None:
    if options.json:
        query = {"user": options.user, "state": options.state, "limit": options.limit}
        print(json.dumps(_gateway().get("/users/tasks", **query), indent=1))
        return
    for task in admin_api.tasks_of_users(_gateway(), options.limit, options.user, options.state):
        who = clean(task.user_name or task.user, 30)
        print(
            f"{task.task_id}  {task.status:<9}  {local_time(task.created_at)}  {who}  "
            f"{clean(task.name, 60)}"
        )


def workers(options: argparse.Namespace) -> None:
    if options.what == "drain":
        return print(_described(admin_api.drain(_gateway(), options.id, not options.undo)))
    if options.json:
        print(json.dumps(_gateway().get("/workers"), indent=1))
        return
    found = gateway_api.workers(_gateway())
    for worker in found:
        print(_described(worker))
    if not found:
        print("no worker is running: tasks wait until one starts (`mecapy worker`)")


def _described(worker: WorkerInfo) -> str:
    wrong = "; ".join(f"{part}: {advice}" for part, advice in worker.health.items())
    running = "?" if worker.running is None else worker.running
    state = "serves"
    if worker.draining:
        state = "drained, can be stopped" if worker.drained else "drains"
    return "  ".join(
        filter(
            None,
            (
                clean(worker.id, 60),
                f"{running} of {worker.slots} slots",
                f"Python {worker.python}",
                worker.version,
                state,
                wrong,
            ),
        )
    )

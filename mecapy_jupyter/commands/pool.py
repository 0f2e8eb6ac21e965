"""`mecapy workers …` and `mecapy tasks`. `admin_arguments` has the arguments."""

from __future__ import annotations

import argparse
from itertools import islice

from mecapy_jupyter.client import admin_api, config, gateway_api
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.commands import task_lines
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.units import clean, local_time
from mecapy_jupyter.wire import WorkerInfo

_MOST = 500  # tasks, of which each line shows one or all of a map


def _gateway() -> Gateway:
    return Gateway.of(config.resolve(start=False))


def tasks(options: argparse.Namespace) -> None:
    if options.all_users or options.user:
        return _tasks_of_users(options)
    if options.json:
        answer = _gateway().get("/tasks", limit=options.limit, state=options.state)
        print(json.dumps(answer, indent=1))
        return
    found = gateway_api.tasks(_gateway(), _MOST, options.state)
    for line in islice(task_lines.together(found), options.limit):
        newest, name = line[0], clean(task_lines.name_of(line), 60)
        print(f"{newest.task_id}  {newest.status:<9}  {local_time(newest.created_at)}  {name}")
    if not found:
        print("no tasks yet")


def _tasks_of_users(options: argparse.Namespace) -> None:
    if options.json:
        query = {"user": options.user, "state": options.state, "limit": options.limit}
        print(json.dumps(_gateway().get("/users/tasks", **query), indent=1))
        return
    found = admin_api.tasks_of_users(_gateway(), _MOST, options.user, options.state)
    for line in islice(task_lines.together(found), options.limit):
        newest, name = line[0], clean(task_lines.name_of(line), 60)
        who = clean(newest.user_name or newest.user, 30)
        at = local_time(newest.created_at)
        print(f"{newest.task_id}  {newest.status:<9}  {at}  {who}  {name}")


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
    slots, python = f"{running} of {worker.slots} slots", f"Python {worker.python}"
    parts = (clean(worker.id, 60), slots, python, worker.version, state, wrong)
    return "  ".join(filter(None, parts))

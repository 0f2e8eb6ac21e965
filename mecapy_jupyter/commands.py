"""`%mecapy …`: what a user asks about the pool and their tasks.

Before it: `magic`. After it: the gateway's routes, and `status` for how the answer looks.
"""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import cell, client, config, doctor, errors, status, wire
from .block import LiveBlock
from .ipython import Shell

if TYPE_CHECKING:
    from .magic import Magics

_HELP = """%mecapy                      who am I, where, queue, workers, my last tasks
%mecapy tasks                my tasks
%mecapy attach [id|last]     replay a task's output here, go on live, and bring its variables home
%mecapy cancel [id|all]      stop a task (default: the last)
%mecapy logs id              all it printed
%mecapy get id x y           bring variables of a finished task home
%mecapy login | logout       keep or forget the gateway's address and token
%mecapy config key=value     change the configuration file
%mecapy doctor               check the way from here to a worker"""


def run(magics: Magics, shell: Shell, words: Sequence[str]) -> None:
    """Carry out one command."""
    command, *rest = words or ["status"]
    if command == "config":
        for pair in rest:
            key, _, value = pair.partition("=")
            config.set_value(key, value)
        shown = {key: value if key != "token" else "(kept)" for key, value in config.read().items()}
        print("\n".join(f"{key} = {value}" for key, value in shown.items()) or "nothing is configured", f"({config.config_file()})")
    elif command == "login":
        _login(rest)
    elif command == "logout":
        config.save({})
        print("The address and the token are forgotten.")
    elif command == "doctor":
        print("\n".join(f"{'✔' if check.good else '✖'} {check.text}" for check in doctor.examine()))
    elif command in _WITH_POOL:
        _WITH_POOL[command](magics.client(), shell, rest)
    else:
        print(_HELP if command in ("help", "--help", "-h") else f"%mecapy knows no {command!r}.\n{_HELP}")


def _login(rest: Sequence[str]) -> None:
    url = rest[0] if rest else input("Address of the gateway: ")
    token = getpass.getpass("Token (not shown): ")
    url = config.checked("url", url, "login")
    who = client.Gateway(url, token).get("/me")
    config.save({"url": url, "token": token})
    print(f"Logged in at {url} as {who['owner']}.")


def _status(pool: client.Client, shell: Shell, _: Sequence[str]) -> None:
    known = pool.overview()
    shell.display_pub.publish({"text/plain": status.status_text(known), "text/html": status.status_html(known)})


def _tasks(pool: client.Client, _: Shell, __: Sequence[str]) -> None:
    for task in pool.gateway.get("/tasks", limit=20)["tasks"]:
        print(f"{task['task_id']}  {task['status']:<9}  {task['created_at'][:19].replace('T', ' ')}  {task['name']}")


def _find(pool: client.Client, rest: Sequence[str]) -> dict[str, Any]:
    """The task an id, the beginning of one, or `last` means."""
    tasks: list[dict[str, Any]] = pool.gateway.get("/tasks", limit=100)["tasks"]
    wanted = rest[0] if rest else "last"
    found = tasks[:1] if wanted == "last" else [task for task in tasks if task["task_id"].startswith(wanted)]
    if len(found) != 1:
        reason = "you have no tasks yet" if not tasks else f"{len(found)} of your last {len(tasks)} tasks begin with {wanted!r}"
        raise errors.NotFound(f"{reason}; `%mecapy tasks` lists them")
    return found[0]


def _cancel(pool: client.Client, _: Shell, rest: Sequence[str]) -> None:
    if list(rest) == ["all"]:
        alive = [t for state in (wire.QUEUED, wire.RUNNING) for t in pool.gateway.get("/tasks", state=state, limit=100)["tasks"]]
    else:
        alive = [_find(pool, rest)]
    for task in alive:
        answer = pool.gateway.post(f"/tasks/{task['task_id']}/cancel")
        print(f"{task['task_id'][:8]} {task['name']}: {answer['status']}")


def _logs(pool: client.Client, _: Shell, rest: Sequence[str]) -> None:
    print(client.logs(pool.gateway, _find(pool, rest)["task_id"]), end="")


def _attach(pool: client.Client, shell: Shell, rest: Sequence[str]) -> None:
    found = _find(pool, rest)
    task = pool.attach(found["task_id"], found["name"], shell.user_ns)
    with LiveBlock(found["name"]) as block:
        outcome, home = cell.come_home(shell, task.follow(lambda _: None), block)
    if outcome.state != wire.COMPLETED:
        raise cell.failure(outcome, home, str)


def _get(pool: client.Client, shell: Shell, rest: Sequence[str]) -> None:
    found = _find(pool, rest)
    task = pool.attach(found["task_id"], found["name"], shell.user_ns)
    home = task.open(pool.outcome(found["task_id"]))
    wanted = rest[1:] or list(home.bound)
    lacking = [name for name in wanted if name not in home.bound]
    if lacking:
        raise errors.NotFound(f"the task brought back no {', '.join(lacking)}; it has {', '.join(home.bound) or 'nothing'}")
    shell.user_ns.update({name: home.bound[name] for name in wanted})
    print(f"{', '.join(wanted)} from {found['task_id'][:8]}")


_WITH_POOL = {"status": _status, "tasks": _tasks, "cancel": _cancel, "logs": _logs, "attach": _attach, "get": _get}

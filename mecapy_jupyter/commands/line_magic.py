"""`%mecapy …`: commands about the pool and the user's tasks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mecapy_jupyter import wire
from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.cells import background, cell, setup
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.session import Session
from mecapy_jupyter.client import client, config, gateway_api, requirements, task_logs, unopened
from mecapy_jupyter.commands import (
    doctor,
    extending,
    login,
    machines,
    result_cache,
    status,
    task_selection,
)
from mecapy_jupyter.commands.cancelling import cancelled
from mecapy_jupyter.commands.getting import brought_home
from mecapy_jupyter.shared import errors, units

_TRUST = "--trust"
HELP = """%mecapy                      who am I, where, queue, workers, my last tasks
%mecapy tasks                my tasks
%mecapy attach [id|last]     replay a task's output here, go on live, and bring its variables home
%mecapy cancel [id|all]      stop a task (default: the last)
%mecapy extend [id] [10m]    let a task run longer (default: the last, by ten minutes)
%mecapy logs id              all it printed; a very long log goes into a file
%mecapy get id x y           bring variables, or files it wrote, of a finished task home; \
`attach` and `get` open with `--trust` what was not submitted with your key
%mecapy login [url]          log in at a gateway with any browser; `--token`: type a token in
%mecapy logout               forget the gateway, and end the login there
%mecapy config key=value     change the configuration file
%mecapy on [options] | off   send every cell to a worker, until off; \
the options are those of %%mecapy
%mecapy setup [clear [n]]    show the setup cells, which run first in every task; or remove them
%mecapy packages [meshio,…]  packages that every task of this notebook adds; `none`: no more
%mecapy machines             classes of machines: their sizes, what is free, what it costs
%mecapy cache [clear [id]]   results that `--cache` keeps; use none of them again, or not this one
%mecapy doctor               check the configuration, the gateway and the workers"""


def answer(session: Session, words: Sequence[str]) -> None:
    """Carry out one command."""
    command, *rest = words or ["status"]
    if command == "config":
        for pair in rest:
            key, _, value = pair.partition("=")
            config.set_value(key, value)
        shown = {key: value if key != "token" else "(kept)" for key, value in config.read().items()}
        print(
            "\n".join(f"{key} = {value}" for key, value in shown.items())
            or "nothing is configured",
            f"({config.config_file()})",
        )
    elif command in ("on", "off"):
        _every_cell(session, shlex.join(rest) if command == "on" else None)
    elif command == "setup":
        _setup(rest)
    elif command == "packages":
        print(_packages("".join(f"{word}," for word in rest)))
    elif command == "login":
        login.log_in(
            next((word for word in rest if word != "--token"), ""),
            login.NotebookPage(),
            typed="--token" in rest,
        )
    elif command == "logout":
        print(login.log_out())
    elif command == "doctor":
        print("\n".join(f"{'✔' if check.good else '✖'} {check.text}" for check in doctor.examine()))
    elif command in _WITH_POOL:
        _WITH_POOL[command](session.client(), session.shell, rest)
        if command == "status" and session.every is not None:
            print("on: every cell goes to a worker; `%mecapy off` ends it")
    else:
        print(
            HELP
            if command in ("help", "--help", "-h")
            else f"%mecapy knows no {command!r}.\n{HELP}"
        )


def _setup(rest: Sequence[str]) -> None:
    if not rest:
        print(setup.listed())
    elif rest[0] == "clear" and all(word.isdigit() for word in rest[1:]):
        print(setup.cleared(*rest[1:2]))
    else:
        raise errors.ConfigError("write `%mecapy setup`, `setup clear` or `setup clear 2`")


def _packages(wanted: str) -> str:
    """Set this notebook's packages, if any are given, and list them."""
    if wanted:
        try:
            requirements.default = () if wanted == "none," else requirements.split(wanted)
        except ValueError as wrong:
            raise errors.ConfigError(f"{wrong}, or `none`") from None
    listed = ", ".join(requirements.default) or "none: `%mecapy packages meshio,gmsh==4.13`"
    return f"packages of each task of this notebook: {listed}"


def _every_cell(session: Session, options: str | None) -> None:
    was_on = session.every is not None
    session.every_cell(options)
    if options is not None:
        where = session.client().endpoint.url
        print(
            f"on: from the next cell every cell goes to a worker ({where}) and shows its block, "
            f"until `%mecapy off`."
        )
        print("Cells with line magics, !commands or another language's %%magic stay here.")
    else:
        print("off: cells run here again." if was_on else "It was not on: cells run here.")


def _status(pool: client.Client, shell: Shell, _: Sequence[str]) -> None:
    overview = pool.overview()
    jobs = background.summary()
    tasks = [
        replace(task, name=" · ".join(filter(None, (task.name, f"in `{job}`" if job else ""))))
        for task in overview.tasks
        for job in [jobs.get(task.task_id)]
    ]
    overview = replace(overview, tasks=tasks)
    shell.display_pub.publish(
        {"text/plain": status.status_text(overview), "text/html": status.status_html(overview)}
    )


def _tasks(pool: client.Client, _: Shell, __: Sequence[str]) -> None:
    for task in gateway_api.tasks(pool.gateway, 20):
        attempt = f"{units.ordinal(task.attempts)} attempt" if task.attempts > 1 else ""
        about = " · ".join(filter(None, (units.clean(task.name, 60), attempt)))
        created = units.local_time(task.created_at)
        print(f"{task.task_id}  {task.status:<9}  {created}  {about}".rstrip())


def _find(pool: client.Client, rest: Sequence[str]) -> wire.TaskStatus:
    return task_selection.one(pool.gateway, *rest[:1])


def _cancel(pool: client.Client, _: Shell, rest: Sequence[str]) -> None:
    found = False
    for one in cancelled(pool.gateway, rest[0] if rest else "last"):
        found = True
        print(one.line)
    if not found:
        print("nothing to cancel: none of your tasks waits or runs")


def _extend(pool: client.Client, _: Shell, rest: Sequence[str]) -> None:
    print(extending.line(extending.extend(pool.gateway, *rest[:2])))


def _logs(pool: client.Client, _: Shell, rest: Sequence[str]) -> None:
    found = _find(pool, rest)
    shown = task_logs.show(pool.gateway, found.task_id, Path.cwd())
    print(shown or f"{found.task_id[:8]} has printed nothing\n", end="")


def _attach(pool: client.Client, shell: Shell, rest: Sequence[str]) -> None:
    words, trust = _without_trust(rest)
    found = _find(pool, words)
    task = pool.attach(found.task_id, found.name, shell.user_ns, trust=trust)
    with LiveBlock(found.name, one_host=pool.gateway.embedded) as block:
        outcome, home = cell.come_home(shell, task, block)
    if not task.opens:
        print(f"mecapy: {unopened.remark(task.id)}", file=sys.stderr)
    if outcome.state != wire.COMPLETED:
        raise cell.told_once(cell.failure(outcome, home, None), outcome, block)


def _without_trust(rest: Sequence[str]) -> tuple[list[str], bool]:
    """The other arguments, and whether `--trust` opens the pickles of others' tasks."""
    return [word for word in rest if word != _TRUST], _TRUST in rest


def _get(pool: client.Client, shell: Shell, rest: Sequence[str]) -> None:
    words, trust = _without_trust(rest)
    found = _find(pool, words)
    values, files = brought_home(pool, found, words[1:], shell.user_ns, trust=trust)
    shell.user_ns.update(values)
    print(f"{', '.join([*values, *files])} from {found.task_id[:8]}")


def _machines(pool: client.Client, _: Shell, __: Sequence[str]) -> None:
    print(machines.listed(gateway_api.machines(pool.gateway)))


def _cache(pool: client.Client, _: Shell, rest: Sequence[str]) -> None:
    print(result_cache.answer(pool.gateway, rest))


_WITH_POOL = {
    "cache": _cache,
    "machines": _machines,
    "status": _status,
    "tasks": _tasks,
    "cancel": _cancel,
    "extend": _extend,
    "logs": _logs,
    "attach": _attach,
    "get": _get,
}

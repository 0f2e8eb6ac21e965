"""The `mecapy` command. Light to start: what a command needs is imported when it is called, server
code only by name.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from typing import TextIO, cast

from mecapy_jupyter.commands import (
    admin_arguments,
    backup,
    deploy,
    enable,
    fleet,
    login_arguments,
    mcp_arguments,
    open_page,
    task_arguments,
)
from mecapy_jupyter.commands.arguments import AddCommand, add_json, count
from mecapy_jupyter.commands.arguments import server_part as _server
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.version import __version__

NOT_RUNNING = 3
_READER_GONE = 141  # a shell's exit code for SIGPIPE
_MAGIC = re.compile(
    "(?<!in a notebook )`%mecapy (?=attach|cancel|doctor|extend|get|login|logs|tasks)"
)
_ENVIRONMENT = "mecapy_backend.shared.environment"


def main(argv: list[str] | None = None) -> int:
    out = cast("TextIO | None", sys.stdout)  # None: closed (`>&-`)
    try:
        try:
            return _carried_out(argv)
        finally:
            if out:
                out.flush()
    except BrokenPipeError:
        # The reader has ended (`| head`): drop the rest, also at the interpreter's end.
        if out:
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        return _READER_GONE


def _carried_out(argv: list[str] | None) -> int:
    words, arguments = task_arguments.split_script(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    options, unknown = parser.parse_known_args(words)
    if unknown:
        follow = "; the script's own follow after --" if words[0] == "run" else ""
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{follow}")
    options.arguments = arguments
    try:
        return options.run(options) or 0
    except errors.MecapyError as problem:
        return _failed(_MAGIC.sub("`mecapy ", str(problem)))
    except EOFError:
        return _failed(
            "the command has a question, and its standard input is closed: run it in a terminal"
        )
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as problem:  # nobody at a terminal should have to read a traceback
        if sys.flags.dev_mode:
            raise
        shown = " ".join(str(problem).split())[:500]
        return _failed(f"{type(problem).__name__}: {shown} (PYTHONDEVMODE=1 shows where)")


def _failed(text: str) -> int:
    print(f"mecapy: {text}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mecapy", description="Run heavy notebook cells on a pool of workers."
    )
    parser.add_argument("--version", action="version", version=f"mecapy {__version__}")
    parser.set_defaults(run=lambda _: parser.print_help())  # pyright: ignore[reportUnknownLambdaType]
    commands = parser.add_subparsers(metavar="COMMAND")

    def add(
        name: str, run: Callable[[argparse.Namespace], int | None], text: str
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    here = (_stack_commands, _server_commands, login_arguments.add_commands, _doctor_command)
    servers = (backup, fleet, deploy, admin_arguments)
    elsewhere = (*servers, task_arguments, open_page, enable, mcp_arguments)
    for add_group in (*here, *(module.add_commands for module in elsewhere)):
        add_group(add)
    completion = add("completion", _completion, "a script that completes commands in a shell")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _stack_commands(add: AddCommand) -> None:
    up = add("up", _up, "run the embedded stack in the foreground; prints its URL and token")
    up.add_argument(
        "--workers",
        type=count,
        default=0,
        metavar="N",
        help="how many workers (default: 1, and up to one per core while tasks wait)",
    )
    up.add_argument(
        "--port",
        type=int,
        default=0,
        metavar="P",
        help="port of the gateway on 127.0.0.1 (default: the one used last, or a free one)",
    )
    up.add_argument(
        "--idle-stop",
        type=float,
        metavar="SECONDS",
        help="stop after this idle time (default: never)",
    )
    for hidden in ("--detach", "--sweep"):
        up.add_argument(hidden, action="store_true", help=argparse.SUPPRESS)
    up.add_argument("--ready-fd", type=int, default=-1, help=argparse.SUPPRESS)
    down = add("down", _down, "stop the embedded stack")
    status = add("status", _status, "what runs: every component with its pid, address and health")
    status.add_argument("--json", action="store_true", help="for programs")
    for command in (up, down, status):
        command.add_argument(
            "--data", metavar="DIR", help="data directory of the stack (default: your own)"
        )


def _server_commands(add: AddCommand) -> None:
    gateway = add(
        "gateway", _gateway, "run a gateway; settings come from the environment (MECAPY_…)"
    )
    gateway.add_argument("--host", default="127.0.0.1")
    gateway.add_argument(
        "--port",
        type=int,
        default=int(os.environ.get("PORT") or 8000),
        help="default: PORT, or 8000",
    )
    gateway.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    worker = add("worker", _worker, "run a worker; settings come from the environment (MECAPY_…)")
    worker.add_argument("--hours", type=float, default=0.0, help=argparse.SUPPRESS)
    worker.add_argument(
        "--until-idle",
        type=float,
        default=0.0,
        metavar="S",
        help="end once no task has come for S seconds; for engines that start a worker for each "
        "task",
    )
    worker.add_argument("--machine", default="", metavar="TAG", help=argparse.SUPPRESS)
    migrate = add("migrate", _migrate, "bring the database to the newest schema")
    migrate.add_argument(
        "--dry-run", action="store_true", help="print the SQL that would run, and run none"
    )


def _doctor_command(add: AddCommand) -> None:
    text = "check the configuration, the gateway and the workers, and say what to do"
    add_json(add("doctor", _doctor, text))


def _up(options: argparse.Namespace) -> int:
    if options.detach:
        _become_daemon()
    from mecapy_jupyter.shared.data_dir import data_dir

    stack = data_dir(options.data)
    up = _server("mecapy_backend.stack.up")
    if options.sweep:
        return up.sweep(stack)
    idle_s = (
        options.idle_stop
        if options.idle_stop is not None
        else float(os.environ.get("MECAPY_IDLE_STOP") or 0)
    )
    workers = options.workers or int(os.environ.get("MECAPY_WORKERS") or 0)
    return up.up(stack, up.StackOptions(workers, options.port, idle_s), options.ready_fd)


def _become_daemon() -> None:
    """A daemon: no terminal and no notebook ends it, and none has to reap it."""
    if os.fork():
        os._exit(0)
    os.setsid()


def _down(options: argparse.Namespace) -> int:
    from mecapy_jupyter.stack.embedded import down

    print("stopped" if down(options.data) else "no stack was running")
    return 0


def _status(options: argparse.Namespace) -> int:
    from mecapy_jupyter.stack.embedded import status

    found = status(options.data)
    if options.json:
        print(json.dumps(found.as_json(), indent=1))
    elif not found.url:
        print(f"no stack runs on {found.data}; `mecapy up` starts one")
        if url := os.environ.get("MECAPY_URL"):
            print(f"MECAPY_URL is {url}: `mecapy doctor` checks that gateway")
    else:
        print(f"{found.url}  ({found.data}, supervisor {found.supervisor_pid})")
        for one in found.components:
            health = "healthy" if one.healthy else "not answering"
            print(f"  {one.name:<9} pid {one.process.pid:<8} {health:<14} {one.address or one.id}")
    return 0 if found.url else NOT_RUNNING


def _gateway(options: argparse.Namespace) -> None:
    _server("mecapy_backend.api.app").serve(
        _server(_ENVIRONMENT).settings(),
        options.host,
        options.port,
        **({"fd": options.fd} if options.fd is not None else {}),
    )


def _worker(options: argparse.Namespace) -> None:
    hours = options.hours
    if os.environ.get("MECAPY_MACHINE_TOKEN"):
        hours = _server("mecapy_worker.upkeep.machine_credentials").fetch(hours)
    settings = _server(_ENVIRONMENT).settings()
    _server("mecapy_worker.main").serve(settings, options.machine, hours, options.until_idle)


def _migrate(options: argparse.Namespace) -> None:
    url = _server(_ENVIRONMENT).settings().database_url
    migrations = _server("mecapy_backend.migrations")
    if options.dry_run:
        print(migrations.dry_run(url) or "-- nothing to do: the schema is the newest")
    else:
        migrations.upgrade(url)


def _completion(options: argparse.Namespace) -> None:
    from mecapy_jupyter.commands import completion

    print(completion.script(options.shell, _parser()), end="")


def _doctor(options: argparse.Namespace) -> int:
    from mecapy_jupyter.commands.doctor import examine

    found = list[dict[str, object]]()
    for check in examine():
        found.append({"good": check.good, "text": check.text})
        if not options.json:
            print(f"{'✔' if check.good else '✖'} {check.text}")
    if options.json:
        print(json.dumps(found, indent=1))
    return 0 if all(one["good"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())

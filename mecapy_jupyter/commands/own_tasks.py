"""`mecapy cancel | extend | logs | get | attach | run`: my tasks, from a terminal or a script."""

from __future__ import annotations

import argparse
import concurrent.futures
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from mecapy_jupyter import wire
from mecapy_jupyter.cells import notebook_folder, task_options
from mecapy_jupyter.client import config, gateway_api, submission, task_logs, unopened
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.task import Task, resumed_events
from mecapy_jupyter.commands import extending, task_selection
from mecapy_jupyter.commands.cancelling import cancelled
from mecapy_jupyter.commands.getting import brought_home
from mecapy_jupyter.shared import errors, version
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.travel.environment import setup_cells

INTERRUPTED = 130
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def _endpoint() -> config.Endpoint:
    """Existing tasks are on a running gateway, so none is started for them."""
    return config.resolve(start=False)


def cancel(options: argparse.Namespace) -> int:
    found = list[dict[str, str]]()
    for one in cancelled(Gateway.of(_endpoint()), options.id):
        found.append(asdict(one))
        if not options.json:
            print(one.line)
    if options.json:
        print(json.dumps(found, indent=1))
    elif not found:
        print("nothing to cancel: none of your tasks waits or runs")
    return 0


def extend(options: argparse.Namespace) -> None:
    limit = extending.extend(Gateway.of(_endpoint()), options.id, options.more)
    print(json.dumps(limit.as_json()) if options.json else extending.line(limit))


def logs(options: argparse.Namespace) -> None:
    """Print the events as JSON, one per line."""
    gateway = Gateway.of(_endpoint())
    task_id = task_selection.one(gateway, options.id).task_id
    if options.follow:
        events = resumed_events(gateway, task_id)
    else:
        events = gateway.events(task_id, follow=False)
    for event in events:
        if options.json:
            print(json.dumps({"id": event.id, "type": event.type, "data": event.data}), flush=True)
        elif isinstance(printed := event.body, wire.StdoutEvent | wire.StderrEvent):
            print(printed.text, end="", flush=options.follow)


def get(options: argparse.Namespace) -> None:
    pool = Client(endpoint=_endpoint())
    found = task_selection.one(pool.gateway, options.id)
    values, files = brought_home(pool, found, options.names, {}, trust=options.trust)
    if options.json:
        print(json.dumps({"variables": values, "files": files}, indent=1, default=_as_text))
        return
    for name, value in values.items():
        print(f"{name} = {value!r}")
    for path in files:
        print(f"{path} is in {Path.cwd()}")
    if not values and not files:
        print("the task brought back no variables; a file comes by its name", file=sys.stderr)


def _as_text(value: object) -> dict[str, str]:
    """What JSON cannot hold, as REST has it."""
    return {"repr": repr(value)}


def attach(options: argparse.Namespace) -> int:
    pool = Client(endpoint=_endpoint())
    found = task_selection.one(pool.gateway, options.id)
    task = pool.attach(found.task_id, found.name, {}, trust=options.trust)
    if not task.opens and not options.json:
        print(f"mecapy: {unopened.remark(task.id)}", file=sys.stderr)

    def leave() -> None:
        print(f"mecapy: the task goes on; `mecapy cancel {task.id[:8]}` stops it", file=sys.stderr)

    return _ended(pool, task, options.json, leave)


def run(options: argparse.Namespace) -> int:
    pool = Client()
    code = _read(options.script)
    name = options.name or ("" if options.script == "-" else Path(options.script).name)
    cell = wire.Cell(filename=_file_name(options.script))
    request = replace(task_options.request(options, code, cell, ()), name=name)
    there = gateway_api.packages(pool.gateway, version.minor())
    folder = notebook_folder.along(
        options.files, code, there, options.folder, pool.gateway.secret_in
    )
    words = [options.script, *options.arguments]
    setup_cells.add(f'__import__("sys").argv[:] = {words!r}', frozenset())
    ready = submission.prepared(pool.gateway, request, {}, {}, folder=folder)
    task = pool.submit_prepared(ready)
    if options.bg:
        print(json.dumps({"task_id": task.id}) if options.json else task.id)
        return 0

    def stop() -> None:
        task.request_cancel()  # with nobody to print for, the future has failed, not the task
        concurrent.futures.wait([task], timeout=10)
        print("mecapy: cancelled", file=sys.stderr)

    return _ended(pool, task, options.json, stop)


def _file_name(script: str) -> str:
    """The script's name, as tracebacks show it."""
    return "<stdin>" if script == "-" else str(Path(script).resolve())


def _read(script: str) -> str:
    try:
        code = sys.stdin.read() if script == "-" else Path(script).read_text()
        if not code.strip():
            raise errors.ConfigError(f"{script} is empty")
        return code
    except (OSError, UnicodeDecodeError) as wrong:
        why = getattr(wrong, "strerror", None) or "it is no text"
        raise errors.ConfigError(f"{script} cannot be read: {why}") from None


def _told(error: wire.ErrorInfo) -> str:
    """The traceback, in colours on a terminal alone."""
    text = "\n".join(error.traceback) or f"{error.type}: {error.message}"
    return text if sys.stderr.isatty() else _COLOUR.sub("", text)


def _nothing(_: wire.Event) -> None: ...


def _ended(pool: Client, task: Task, as_json: bool, leave: Callable[[], None]) -> int:
    """Print its output until it ends; 0, or 1 with its error. Ctrl-C, or nobody reads its output
    any more: `leave`.
    """
    try:
        task.follow(on_event=_nothing if as_json else task_logs.show_printed)
        concurrent.futures.wait([task])
    except KeyboardInterrupt:
        leave()
        return INTERRUPTED
    if task.outcome is None and (lost := task.exception()):
        if isinstance(lost.__cause__, BrokenPipeError):
            leave()
            raise lost.__cause__
        raise lost
    for remark in task.bring_folder():
        print(f"mecapy: {remark}", file=sys.stderr)
    if as_json:
        print(json.dumps(pool.gateway.get(f"/tasks/{task.id}"), indent=1))
    elif task.outcome is not None and task.outcome.error is not None:
        print(_told(task.outcome.error), file=sys.stderr)
    elif task.cancelled():
        print("mecapy: the task was cancelled", file=sys.stderr)
    return 0 if task.outcome and task.outcome.state == wire.COMPLETED else 1

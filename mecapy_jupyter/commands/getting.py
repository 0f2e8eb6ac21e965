"""Brings variables and files of a finished task home; for magic and command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.client import unopened
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.results import bind
from mecapy_jupyter.shared import errors, units
from mecapy_jupyter.travel.files import bring_home


def brought_home(
    pool: Client,
    found: wire.TaskStatus,
    names: Sequence[str],
    namespace: dict[str, Any],
    *,
    trust: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Variables by name, and the files that were laid into this folder. No name: all variables."""
    task = pool.attach(found.task_id, found.name, namespace, trust=trust)
    outcome = pool.outcome(found.task_id)
    # change nothing here but what was requested
    home = task.open(outcome, spared=task.packed.memo)
    if not task.opens or outcome.payload is None:
        home = replace(home, bound=unopened.variables(outcome))
    if not task.opens:
        print(f"mecapy: {unopened.remark(task.id, 'get')}", file=sys.stderr)
    wanted = names or list(home.bound)
    paths = [name for name in wanted if name not in home.bound]
    _lay_out(task, outcome, home, paths)
    return {name: home.bound[name] for name in wanted if name in home.bound}, paths


def _lay_out(task: Task, outcome: wire.Outcome, home: bind.Home, paths: Sequence[str]) -> None:
    """Files the cell wrote, into this folder: those that `--keep` named, and small ones."""
    there = {**task.small_files(outcome), **home.folder.files} if paths else {}
    for path in paths:
        if path not in there and path in home.folder.stays:
            size = units.size(home.folder.stays[path][0])
            raise errors.NotFound(
                f"{path} ({size}) was too large to be kept; run the cell again with `--keep {path}`"
            )
        if path not in there:
            has = ", ".join([*home.bound, *there, *home.folder.stays]) or "nothing"
            raise errors.NotFound(f"the task brought back no {path}, only {has}")
    bring_home.put({path: there[path] for path in paths}, Path.cwd())

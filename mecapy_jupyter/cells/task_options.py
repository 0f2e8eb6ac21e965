"""The options that a cell and a script share, and the task that they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from mecapy_jupyter import wire
from mecapy_jupyter.client import requirements
from mecapy_jupyter.client.resources import asked
from mecapy_jupyter.shared.units import byte_count, seconds

T = TypeVar("T")
AddOption = Callable[..., object]


def _told(read: Callable[[str], T]) -> Callable[[str], T]:
    """The same reader; argparse shows the reader's message instead of its own."""

    def reader(text: str) -> T:
        try:
            return read(text)
        except ValueError as trouble:
            raise argparse.ArgumentTypeError(str(trouble)) from None

    return reader


def _cpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processors; write 4")
    return number


def _paths(text: str) -> tuple[str, ...]:
    """Split at commas only: quotes are parsed already, and file names may contain spaces."""
    return tuple(path for part in text.split(",") if (path := part.strip()))


def request(
    options: argparse.Namespace, code: str, cell: wire.Cell, outputs: tuple[str, ...] | None
) -> wire.TaskRequest:
    """A task of this code, with what `add`'s options say."""
    return wire.TaskRequest(
        code,
        name=options.name,
        outputs=outputs,
        keep=options.keep,
        priority=options.priority,
        timeout=options.timeout,
        retries=options.retries,
        escalate=options.escalate,
        notify=options.notify,
        resources=asked(options.cpus, options.memory, options.gpu, options.machine),
        packages=requirements.merged(requirements.in_script(code), options.packages),
        cell=cell,
    )


def add(add_one: AddOption) -> None:
    """Give a parser these options."""
    for group in (_running, _machine, _files):
        group(add_one)


def _running(add: AddOption) -> None:
    add(
        "--timeout",
        type=_told(seconds),
        default=wire.TIMEOUT_S,
        metavar="2h",
        help="stop the cell after this run time (default: 300 s)",
    )
    add(
        "--priority",
        type=int,
        choices=range(10),
        default=wire.PRIORITY,
        metavar="0-9",
        help="priority among your own tasks, higher first (default: 5)",
    )
    add("--name", default="", help="a name for task lists")
    add(
        "--retries",
        type=int,
        choices=range(11),
        default=0,
        metavar="n",
        help="how often to run a failing cell again (default: 0)",
    )
    add(
        "--notify",
        type=_paths,
        default=(),
        metavar="mail,https://…",
        help="report its end: `mail`, the operator's `webhook`, or a URL of yours",
    )


def _machine(add: AddOption) -> None:
    add("--cpus", type=_cpus, default=0.0, metavar="n", help="processors that the cell needs")
    add(
        "--memory",
        type=_told(byte_count),
        default=0,
        metavar="16GB",
        help="memory that the cell needs",
    )
    add(
        "--gpu",
        nargs="?",
        const=wire.ANY_GPU,
        default="",
        metavar="TYPE",
        help="a GPU, of this type or of any",
    )
    add(
        "--machine",
        default="",
        metavar="CLASS",
        help="run on this class of machines (`%%mecapy machines` lists them)",
    )
    add(
        "--with",
        dest="packages",
        type=_told(requirements.split),
        default=(),
        metavar="meshio,gmsh==4.13",
        help="packages that the cell can import besides what the workers have",
    )
    more = "out of time, run again with more processors, twice as long, at most twice"
    add("--escalate", action="store_true", help=more)


def _files(add: AddOption) -> None:
    add(
        "--files",
        type=_paths,
        default=(),
        metavar="mesh.msh,data/*.csv",
        help="files to send, by paths relative to the notebook's folder",
    )
    add(
        "--keep",
        type=_paths,
        default=(),
        metavar="out/*.vtk",
        help="files of the cell to bring home",
    )

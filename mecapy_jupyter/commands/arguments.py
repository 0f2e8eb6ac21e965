"""Helpers for the groups of commands of `mecapy`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.travel.garbage import uncollected

Run = Callable[[argparse.Namespace], int | None]


class AddCommand(Protocol):
    """Adds one command to the parser."""

    def __call__(self, name: str, run: Run, text: str) -> argparse.ArgumentParser: ...


class AsJson(Protocol):
    """A shape of `wire`."""

    def as_json(self) -> dict[str, Any]: ...


Shown = TypeVar("Shown", bound=AsJson)


def add_json(*commands: argparse.ArgumentParser) -> None:
    for one in commands:
        one.add_argument("--json", action="store_true", help="for programs")


def print_json(found: Iterable[AsJson]) -> None:
    """A list, as `--json` prints it."""
    print(json.dumps([one.as_json() for one in found], indent=1))


def show(found: Sequence[Shown], line: Callable[[Shown], str], *, as_json: bool) -> None:
    """A list, as `--json` prints it or a line for each."""
    if as_json:
        print_json(found)
    else:
        print("".join(f"{line(one)}\n" for one in found), end="")


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def later(name: str) -> Run:
    """A function of `commands` (`pool.tasks`), whose module is imported when it is called."""
    module, _, function = name.partition(".")

    def run(options: argparse.Namespace) -> int | None:
        return getattr(importlib.import_module(f"{__package__}.{module}"), function)(options)

    return run


@uncollected()
def server_part(module: str) -> Any:
    """A module of gateway, worker or stack, by name: this package imports none of them. No
    collection meanwhile: it would find nothing.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise errors.ConfigError(
            f"this command needs the server part, and {missing.name} is not installed: `pip "
            f"install 'mecapy-jupyter[local]'` "
            "(or [backend] for `mecapy gateway`, [worker] for `mecapy worker`)"
        ) from None

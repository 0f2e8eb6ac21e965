"""Helpers for the groups of commands of `mecapy`."""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from mecapy_jupyter.shared import errors


class AddCommand(Protocol):
    """Adds one command to the parser."""

    def __call__(
        self, name: str, run: Callable[[argparse.Namespace], int | None], text: str
    ) -> argparse.ArgumentParser: ...


class AsJson(Protocol):
    """A shape of `wire`."""

    def as_json(self) -> dict[str, Any]: ...


def add_json(*commands: argparse.ArgumentParser) -> None:
    for one in commands:
        one.add_argument("--json", action="store_true", help="for programs")


def print_json(found: Iterable[AsJson]) -> None:
    """A list, as `--json` prints it."""
    print(json.dumps([one.as_json() for one in found], indent=1))


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def server_part(module: str) -> Any:
    """A module of gateway, worker or stack, by name: this package imports none of them."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        raise errors.ConfigError(
            f"this command needs the server part, and {missing.name} is not installed: `pip "
            f"install 'mecapy-jupyter[local]'` "
            "(or [backend] for `mecapy gateway`, [worker] for `mecapy worker`)"
        ) from None

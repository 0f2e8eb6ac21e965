"""Helpers for the groups of commands of `mecapy`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any, Protocol

from mecapy_jupyter.shared import errors


class AddCommand(Protocol):
    """Adds one command to the parser."""

    def __call__(
        self, name: str, run: Callable[[argparse.Namespace], int | None], text: str
    ) -> argparse.ArgumentParser: ...


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


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

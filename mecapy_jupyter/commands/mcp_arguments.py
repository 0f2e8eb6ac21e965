"""The words of `mecapy mcp`. What it does is imported late."""

from __future__ import annotations

import argparse

from mecapy_jupyter.commands.arguments import AddCommand, count


def add_commands(add: AddCommand) -> None:
    command = add("mcp", _run, "serve my tasks to an agent (Model Context Protocol, over stdio)")
    command.add_argument(
        "--allow-submit", action="store_true", help="it may run code, and cancel what it ran"
    )
    command.add_argument(
        "--max-tasks", type=count, default=20, metavar="N", help="at most N tasks (20)"
    )
    command.add_argument(
        "--max-cost", type=float, default=1.0, metavar="EUR", help="for at most so much (1 euro)"
    )


def _run(options: argparse.Namespace) -> None:
    from mecapy_jupyter.commands import mcp_server

    mcp_server.serve(options)

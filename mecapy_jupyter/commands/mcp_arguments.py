"""The words of `mecapy mcp`. What it does is imported late."""

from __future__ import annotations

from mecapy_jupyter.commands.arguments import AddCommand, count, later


def add_commands(add: AddCommand) -> None:
    what = "serve my tasks to an agent (Model Context Protocol, over stdio)"
    command = add("mcp", later("mcp_server.serve"), what)
    command.add_argument(
        "--allow-submit", action="store_true", help="it may run code, and cancel what it ran"
    )
    command.add_argument(
        "--max-tasks", type=count, default=20, metavar="N", help="at most N tasks (20)"
    )
    command.add_argument(
        "--max-cost", type=float, default=1.0, metavar="EUR", help="for at most so much (1 euro)"
    )

"""The words of `mecapy login`, `logout` and `token`. What they do is imported late."""

from __future__ import annotations

import argparse

from mecapy_jupyter.commands.arguments import AddCommand, add_json, later


def add_commands(add: AddCommand) -> None:
    login = add(
        "login",
        later("login.run"),
        "log in at a gateway with a browser on any device, and use it from now on",
    )
    login.add_argument(
        "gateway", nargs="?", metavar="URL", help="address of the gateway (default: the one in use)"
    )
    login.add_argument("--url", help=argparse.SUPPRESS)
    login.add_argument("--token", action="store_true", help="enter a token instead")
    text = "end the login, and delete gateway and token from the configuration"
    add("logout", later("login.run_logout"), text)
    token = add(
        "token", later("login.run_token"), "personal API tokens, for scripts and CI"
    ).add_subparsers(dest="what", metavar="create | list | revoke", required=True)
    create = token.add_parser("create", help="create a token; it is shown once")
    create.add_argument("name", metavar="NAME", help="what the token is for")
    create.add_argument(
        "--scopes", default="tasks,read", help="of tasks, read, admin; default: tasks,read"
    )
    create.add_argument(
        "--days", type=float, default=90.0, help="until it expires; 0: never; default: 90"
    )
    add_json(create, token.add_parser("list", help="list my tokens"))
    token.add_parser("revoke", help="revoke a token").add_argument(
        "id", metavar="ID", help="id of the token, from `list`"
    )

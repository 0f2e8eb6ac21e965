"""`mecapy login`, `logout` and `token`."""

from __future__ import annotations

import argparse

from mecapy_jupyter.commands.arguments import AddCommand, add_json, print_json, show


def add_commands(add: AddCommand) -> None:
    login = add(
        "login",
        _login,
        "log in at a gateway with a browser on any device, and use it from now on",
    )
    login.add_argument(
        "gateway", nargs="?", metavar="URL", help="address of the gateway (default: the one in use)"
    )
    login.add_argument("--url", help=argparse.SUPPRESS)
    login.add_argument("--token", action="store_true", help="enter a token instead")
    add("logout", _logout, "end the login, and delete gateway and token from the configuration")
    token = add("token", _token, "personal API tokens, for scripts and CI").add_subparsers(
        dest="what", metavar="create | list | revoke", required=True
    )
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


def _login(options: argparse.Namespace) -> None:
    from mecapy_jupyter.commands import login

    login.log_in(options.url or options.gateway or "", login.Page(), typed=options.token)


def _logout(_: argparse.Namespace) -> None:
    from mecapy_jupyter.commands import login

    print(login.log_out())


def _token(options: argparse.Namespace) -> None:
    from mecapy_jupyter.client import config, gateway_api
    from mecapy_jupyter.client.http import Gateway
    from mecapy_jupyter.commands import login

    endpoint = config.resolve(start=False)
    gateway = Gateway.of(endpoint)
    if options.what == "create":
        made = login.create_token(gateway, options.name, options.scopes, options.days)
        show([made], lambda one: login.token_shown(gateway, one), as_json=options.json)
    elif options.what == "revoke":
        gateway_api.revoke_token(gateway, options.id)
        print("revoked")
    elif options.json:
        print_json(gateway_api.tokens(gateway))
    else:
        print(login.tokens_listed(gateway))

"""The arguments of `mecapy tasks`, `workers`, `user` and `org`. What they do is imported late."""

from __future__ import annotations

import argparse
from typing import get_args

from mecapy_jupyter import wire
from mecapy_jupyter.commands.arguments import AddCommand, add_json, count, later

_LIMITS = (
    "of weight, max_running, max_queued, cpu_hours, quota_bytes; empty after `=`: back to the "
    "gateway's settings"
)
_ON_A_USER = {
    "token": "create another token for a user without an identity provider",
    "tokens": "a user's tokens",
    "revoke": "refuse a user's token from now on",
    "disable": "refuse a user, and stop their tasks",
    "enable": "accept a disabled user again",
    "limit": "set a user's share and quotas",
    "erase": "delete all data of a user, name and address included",
}


def add_commands(add: AddCommand) -> None:
    what = "my last tasks; for managers and admins, those of all users"
    tasks = add("tasks", later("pool.tasks"), what)
    tasks.add_argument("--json", action="store_true", help="for programs")
    tasks.add_argument("--limit", type=count, default=20, metavar="N")
    tasks.add_argument("--state", choices=get_args(wire.State))
    tasks.add_argument(
        "--all-users", action="store_true", help="of all users whose tasks you may see"
    )
    tasks.add_argument("--user", metavar="ID", help="of this user (`mecapy user list`)")

    workers = add(
        "workers", later("pool.workers"), "the running workers; drain one before you stop it"
    )
    workers.add_argument("--json", action="store_true", help="for programs")
    what = workers.add_subparsers(dest="what", metavar="list | drain")
    listed = what.add_parser("list", help="list the workers and their tasks")
    listed.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    drain = what.add_parser("drain", help="let a worker finish its tasks and accept no more")
    drain.add_argument("id", metavar="ID", help="as `list` shows it")
    drain.add_argument("--undo", action="store_true", help="let it accept tasks again")

    _user_commands(add)
    org = add(
        "org", later("people.organisation"), "organisations, for managers and admins"
    ).add_subparsers(dest="what", metavar="list | report | limit", required=True)
    organisations = org.add_parser("list", help="with their users and tasks")
    report = org.add_parser("report", help="tasks, waits, CPU-hours and euros of a month")
    report.add_argument("--month", default="", metavar="YYYY-MM", help="default: this one")
    add_json(organisations, report)
    limit = org.add_parser("limit", help="set an organisation's share and quotas")
    limit.add_argument("name", metavar="NAME")
    more = f"{_LIMITS}; also budget, in euros a day"
    limit.add_argument("limits", metavar="LIMIT=NUMBER", nargs="+", help=more)


def _user_commands(add: AddCommand) -> None:
    user = add("user", later("people.user"), "users, for managers and admins").add_subparsers(
        dest="what", metavar=" | ".join(("list", "add", *_ON_A_USER)), required=True
    )
    all_users = user.add_parser("list", help="all whom you may see")
    make = user.add_parser("add", help="create a user with a token, without an identity provider")
    make.add_argument("name", metavar="NAME")
    make.add_argument("--email", default="")
    make.add_argument("--org", metavar="NAME", help="the organisation")
    make.add_argument("--role", choices=("user", "manager", "admin"), default="user")
    on = {name: user.add_parser(name, help=text) for name, text in _ON_A_USER.items()}
    for one in on.values():
        one.add_argument("who", metavar="WHO", help="name, e-mail address or id")
    on["erase"].add_argument("--yes", action="store_true", help="ask nothing")
    on["limit"].add_argument("limits", metavar="LIMIT=NUMBER", nargs="+", help=_LIMITS)
    on["revoke"].add_argument("id", metavar="ID", help="as `tokens` shows it")
    on["token"].add_argument("--name", default="made by an admin", help="what it is for")
    add_json(all_users, make, on["token"], on["tokens"])
    for one in (make, on["token"]):
        one.add_argument("--scopes", default="tasks,read", help="of tasks, read, admin")
        one.add_argument("--days", type=float, default=90.0, help="until it expires; 0: never")

"""`mecapy user …` and `mecapy org …`: users, organisations and their limits. `admin_arguments` has
the arguments.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from mecapy_jupyter import wire
from mecapy_jupyter.client import admin_api, config
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.commands import login
from mecapy_jupyter.commands.arguments import print_json, show
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.units import clean, duration, price
from mecapy_jupyter.wire import JsonObject

_LIMITS = tuple(one.name for one in fields(wire.Limits))
_BUDGET = "budget"


def user(options: argparse.Namespace) -> None:
    _USER[options.what](Gateway.of(config.resolve(start=False)), options)


def organisation(options: argparse.Namespace) -> None:
    _ORGANISATION[options.what](Gateway.of(config.resolve(start=False)), options)


def _list(gateway: Gateway, options: argparse.Namespace) -> None:
    show(list(admin_api.users(gateway)), _described, as_json=options.json)


def _described(one: wire.UserInfo) -> str:
    where = ", ".join(
        filter(None, (one.role, clean(one.organisation or ""), "disabled" * one.disabled))
    )
    about = "  ".join(filter(None, (clean(one.name), clean(one.email), _written(one))))
    return f"{one.id}  {about}  ({where})"


def _add(gateway: Gateway, options: argparse.Namespace) -> None:
    user: JsonObject = {"name": options.name, "email": options.email, "role": options.role}
    if options.org:
        user["organisation"] = options.org
    made = admin_api.add_user(gateway, user)
    if not options.json:
        print(_described(made))
    _print_token(gateway, made, "first", options)


def _token(gateway: Gateway, options: argparse.Namespace) -> None:
    _print_token(gateway, _found(gateway, options.who), options.name, options)


def _print_token(
    gateway: Gateway, user: wire.UserInfo, name: str, options: argparse.Namespace
) -> None:
    scopes = tuple(scope.strip() for scope in options.scopes.split(","))
    request = wire.TokenRequest(name, scopes, options.days or None)
    made = admin_api.create_user_token(gateway, user.id, request)
    if options.json:
        return print_json([made])
    print(
        f"{made.token}\nGive it to {user.name}: it is not shown again. They set "
        f"MECAPY_URL={gateway.url} and MECAPY_TOKEN, or type it into `mecapy login --token`."
    )
    return None


def _tokens(gateway: Gateway, options: argparse.Namespace) -> None:
    found = admin_api.user_tokens(gateway, _found(gateway, options.who).id)
    show(found, login.token_line, as_json=options.json)


def _revoke(gateway: Gateway, options: argparse.Namespace) -> None:
    admin_api.revoke_user_token(gateway, _found(gateway, options.who).id, options.id)
    print("revoked")


def _change(gateway: Gateway, options: argparse.Namespace) -> None:
    """`disable`, `enable` and `limit`."""
    user = _found(gateway, options.who)
    limited = options.what == "limit"
    change = _read(options.limits) if limited else {"disabled": options.what == "disable"}
    print(_described(admin_api.change_user(gateway, user.id, change)))


def _erase(gateway: Gateway, options: argparse.Namespace) -> None:
    user = _found(gateway, options.who)
    print(_described(user))
    if not options.yes:
        if not sys.stdin.isatty():
            raise errors.ConfigError("stdin is not a terminal: `--yes` erases without a question")
        question = (
            "Their tasks, results, logs, blobs and tokens are deleted for good. Type the name"
        )
        if input(f"{question} to continue: ") != (user.name or user.id):
            raise errors.ConfigError("nothing was erased: the typed name differs")
    admin_api.erase_user(gateway, user.id)
    print(
        "erased. What stays: counts of tasks by month, and the audit's lines with the id above for "
        "MECAPY_AUDIT_DAYS. Earlier backups still contain the person."
    )


def _found(gateway: Gateway, who: str) -> wire.UserInfo:
    """The one user of that name, e-mail address or id."""
    found = [one for one in admin_api.users(gateway) if who in (one.id, one.name, one.email)]
    if not found:
        raise errors.NotFound(f"there is no user {who!r}: `mecapy user list` shows all")
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise errors.ConfigError(f"{who!r} matches several users ({ids}): give the id")
    return found[0]


def _organisations(gateway: Gateway, options: argparse.Namespace) -> None:
    found = admin_api.organisations(gateway)
    show(found, _organisation_line, as_json=options.json)
    if not found and not options.json:
        print("no organisations yet: users bring theirs, from the identity provider or `--org`")


def _organisation_line(one: wire.OrganisationInfo) -> str:
    tasks = ", ".join(f"{count} {state}" for state, count in sorted(one.tasks.items()))
    cost = f"{price(one.euros)} this month" if one.euros else ""
    limits = [f"budget={one.budget:g}"] if one.budget is not None else []
    words = (clean(one.id), f"{one.users} users", tasks, cost, _written(one), *limits)
    return "  ".join(filter(None, words))


def _report(gateway: Gateway, options: argparse.Namespace) -> None:
    found = admin_api.monthly_reports(gateway, options.month)
    if options.json:
        return print_json(found)
    users = admin_api.monthly_use(gateway, options.month)
    for one in found:
        print(f"{clean(one.organisation or '') or '(no organisation)'}  {_used(one)}{_ended(one)}")
        for user in users:
            if user.organisation == one.organisation:
                print(f"  {clean(user.user_name or user.user, 40)}  {_used(user)}")
    if not found:
        print("no task ended in that month")
    return None


def _used(by: wire.MonthlyReport | wire.MonthlyUse) -> str:
    cost = f"  {price(by.euros)}" if by.euros else ""
    return f"{by.cpu_hours:.3f} CPU-hours  {by.tasks} attempts{cost}"


def _ended(one: wire.MonthlyReport) -> str:
    """What became of the tasks, and how long they waited."""
    if not one.ended:
        return ""
    states = ", ".join(f"{count} {state}" for state, count in one.ended.items())
    return f"  {states}  waited {duration(one.wait_p50_s)} (p50), {duration(one.wait_p99_s)} (p99)"


def _limit_organisation(gateway: Gateway, options: argparse.Namespace) -> None:
    limits = _read(options.limits, (*_LIMITS, _BUDGET))
    admin_api.change_organisation(gateway, options.name, limits)
    print("changed")


def _written(limits: wire.Limits) -> str:
    """Those that differ from the gateway's settings."""
    values = {name: getattr(limits, name) for name in _LIMITS}
    usual = wire.Limits()
    return " ".join(
        f"{name}={value:g}" for name, value in values.items() if value != getattr(usual, name)
    )


def _read(words: list[str], known: Sequence[str] = _LIMITS) -> JsonObject:
    limits: JsonObject = {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in known:
            raise errors.ConfigError(f"{word!r} is no limit; there are {', '.join(known)}")
        try:
            whole = name not in ("weight", "cpu_hours", _BUDGET)
            limits[name] = (int(value) if whole else float(value)) if value else None
        except ValueError:
            raise errors.ConfigError(
                f"{word!r}: after `=` comes a number, or nothing for the default"
            ) from None
        if name == "weight" and not value:
            limits[name] = 1.0
    return limits


_USER: Mapping[str, Callable[[Gateway, argparse.Namespace], None]] = {
    "list": _list,
    "add": _add,
    "token": _token,
    "tokens": _tokens,
    "revoke": _revoke,
    "disable": _change,
    "enable": _change,
    "limit": _change,
    "erase": _erase,
}
_ORGANISATION: Mapping[str, Callable[[Gateway, argparse.Namespace], None]] = {
    "list": _organisations,
    "report": _report,
    "limit": _limit_organisation,
}

"""Login, logout and personal API tokens, for `mecapy login` in a terminal and `%mecapy login` in a
notebook. This machine needs no browser: the user opens a page on any device and enters a code. A
`Page` shows it, because a notebook shows a link and removes it afterwards.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from datetime import datetime
from html import escape
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.client import config, device_login, gateway_api, logins
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.commands.arguments import show
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.secret import Secret
from mecapy_jupyter.shared.units import clean

_TOKEN = "Token (not shown): "


class Page:
    """Where the code is shown, in a terminal: a few lines."""

    def invite(self, code: device_login.Code) -> None:
        print(invitation(code), flush=True)

    def done(self, text: str) -> None:
        print(text)

    def token(self) -> str:
        """Typed unseen, or a line of what is piped in. Raises EOFError."""
        if sys.stdin and sys.stdin.isatty():
            return getpass.getpass(_TOKEN)
        line = sys.stdin.readline() if sys.stdin else ""
        if not line:
            raise EOFError
        return line


class NotebookPage(Page):
    """Shows a link in a notebook. It is replaced at the end, so a saved notebook has no code."""

    def __init__(self) -> None:
        self._shown: Any = None

    def invite(self, code: device_login.Code) -> None:
        from IPython.display import DisplayHandle

        link = escape(code.link or code.where)
        html = (
            f'To log in, open <a href="{link}" target="_blank" rel="noopener '
            f'noreferrer">{link}</a> on any device'
            f"; the code is <b>{escape(code.user_code)}</b>. Waiting for you…"
        )
        self._shown = DisplayHandle()
        self._shown.display({"text/plain": invitation(code), "text/html": html}, raw=True)

    def token(self) -> str:
        return getpass.getpass(_TOKEN)

    def done(self, text: str) -> None:
        if self._shown is None:
            print(text)
        else:
            self._shown.update({"text/plain": text}, raw=True)


def invitation(code: device_login.Code) -> str:
    minutes = max(1, round(code.expires_s / 60))
    return (
        f"To log in, open {code.link or code.where} on any device; the code is "
        f"{code.user_code}. Waiting for you ({minutes} minutes)…"
    )


def run(options: argparse.Namespace) -> None:
    log_in(options.url or options.gateway or "", Page(), typed=options.token)


def run_logout(_: argparse.Namespace) -> None:
    print(log_out())


def run_token(options: argparse.Namespace) -> None:
    gateway = Gateway.of(config.resolve(start=False))
    if options.what == "create":
        named = tuple(one.strip() for one in options.scopes.split(","))
        request = wire.TokenRequest(options.name, named, options.days or None)
        made = gateway_api.create_token(gateway, request)
        show([made], lambda one: _token_shown(gateway, one), as_json=options.json)
    elif options.what == "revoke":
        gateway_api.revoke_token(gateway, options.id)
        print("revoked")
    else:
        found = gateway_api.tokens(gateway)
        show(found, token_line, as_json=options.json)
        if not found and not options.json:
            print("no API tokens; `mecapy token create NAME` makes one")


def log_in(url: str, page: Page, *, typed: bool = False) -> None:
    """Log in at a gateway and use it from now on. `typed`: with a typed token, also if the gateway
    has a login.
    """
    url = config.checked("url", url or _asked("Address of the gateway: "), "login")
    about = _where_to(url)
    if typed or not about.issuer:
        _log_in_with_token(url, page)
        return
    there = device_login.find(about.issuer, about.client_id or "")
    code = device_login.ask(there, about.scope or "")
    page.invite(code)
    try:
        tokens = device_login.wait(there, code)
    except BaseException:
        page.done("The login was not finished.")
        raise
    me = gateway_api.me(Gateway(url, tokens.access))
    logins.keep(url, there, tokens)
    config.save({"url": url})
    page.done(f"Logged in at {url} as {_named(me)}.")


def _log_in_with_token(url: str, page: Page) -> None:
    if os.environ.get("MECAPY_NONINTERACTIVE") == "1":
        raise errors.ConfigError(
            "MECAPY_NONINTERACTIVE is set, so MecaPy cannot ask for a token: set "
            "MECAPY_TOKEN instead"
        )
    token = config.checked("token", Secret(page.token()), "login")
    me = gateway_api.me(Gateway(url, token))
    logins.forget(url)
    config.save({"url": url, "token": token})
    page.done(f"Logged in at {url} as {_named(me)}.")


def log_out() -> str:
    """Forget the gateway, the token and the login; returns what was done, in words."""
    url = os.environ.get("MECAPY_URL") or config.read().get("url", "")
    config.save({})
    if not url or not logins.known(url.rstrip("/")):
        return "The address and the token are deleted."
    revoked = logins.forget(url.rstrip("/"))
    more = (
        ""
        if revoked
        else (" The identity provider could not be reached; the login expires there by itself.")
    )
    return (
        f"Logged out of {url}: the login is deleted here{' and revoked' if revoked else ''}.{more}"
    )


def _token_shown(gateway: Gateway, made: wire.TokenInfo) -> str:
    return (
        f"{made.token}\nKeep it now: it is not shown again. For scripts: "
        f"MECAPY_URL={gateway.url} MECAPY_TOKEN=… ({token_line(made)})"
    )


def token_line(one: wire.TokenInfo) -> str:
    used = f"last used {_day(one.used_at)}" if one.used_at else "never used"
    ends = f"until {_day(one.expires_at)}" if one.expires_at else "without end"
    return f"{one.id}  {clean(one.name)}  [{', '.join(one.scopes)}]  {ends}, {used}"


def _day(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def _where_to(url: str) -> wire.LoginOffer:
    try:
        return gateway_api.login_offer(Gateway(url, "none"))
    except errors.NotFound:  # an older gateway
        return wire.LoginOffer()


def _named(me: wire.Me) -> str:
    return me.name or me.owner


def _asked(question: str) -> str:
    if url := os.environ.get("MECAPY_URL") or config.read().get("url"):
        return url
    if os.environ.get("MECAPY_NONINTERACTIVE") == "1":
        raise errors.ConfigError(
            "say where to log in: `mecapy login --url https://…`, or set MECAPY_URL"
        )
    return input(question)

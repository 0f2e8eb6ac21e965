"""The gateway and its token: MECAPY_URL and MECAPY_TOKEN, then the configuration file, then the
embedded stack. `config.toml` is in the user's configuration directory, readable by them alone,
because it has a token.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from mecapy_jupyter.client import logins
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.secret import Secret, write_private
from mecapy_jupyter.shared.user_folders import user_folders
from mecapy_jupyter.stack.embedded import Endpoint, ensure, joined

__all__ = ["KEYS", "Endpoint", "config_file", "named", "read", "resolve", "set_value"]

KEYS = {
    "url": "address of the gateway, as in https://mecapy.example.org",
    "token": "your token for it",
    "mark": "`off`: a short cell leaves no `✔ pool · 0.4 s`",
    "folder": "`off`: the notebook's folder does not travel; `on`: it travels, also "
    "where operators made it optional",
}


def resolve(start: bool = True, say: Callable[[str], None] = print) -> Endpoint:
    """Where to send tasks. Starts the embedded stack if nothing is configured, unless `start` is
    false. Raises `ConfigError` (nothing or a wrong value is configured) and `StackError` (the
    embedded stack does not start).
    """
    saved = read()
    url, token = os.environ.get("MECAPY_URL", ""), Secret(os.environ.get("MECAPY_TOKEN", ""))
    if url:
        url = checked("url", url, "MECAPY_URL")
        token = token or (saved.get("token", "") if saved.get("url") == url else "")
        if not token and logins.known(url):
            return Endpoint(url, "", f"login for MECAPY_URL, {logins.file()}")
        if not token:
            raise ConfigError(
                f"MECAPY_URL is set to {url}, but there is no token for it: set MECAPY_TOKEN, or "
                f"run `mecapy login`"
            )
        return _proving(Endpoint(url, checked("token", token, "MECAPY_TOKEN"), "MECAPY_URL"))
    if saved.get("url"):
        token = token or saved.get("token", "")
        if not token and logins.known(saved["url"]):
            return Endpoint(saved["url"], "", f"login, {logins.file()}")
        if not token:
            raise ConfigError(
                f"{config_file()} names the gateway {saved['url']} but no token: run `mecapy "
                f"login`, or set MECAPY_TOKEN"
            )
        return _proving(Endpoint(saved["url"], token, str(config_file())))
    found = joined() if not start else None
    if found:
        return found
    if not start:
        raise ConfigError(
            "no gateway is configured: set MECAPY_URL and MECAPY_TOKEN, run `mecapy login`, or "
            "start one with `mecapy up`"
        )
    return ensure(say=say)


def _proving(endpoint: Endpoint) -> Endpoint:
    """The same. The user's own embedded stack has to prove itself as always."""
    stack = joined()
    own = stack is not None and (stack.url, stack.token) == (endpoint.url, endpoint.token)
    return replace(endpoint, data=stack.data) if stack is not None and own else endpoint


def named() -> bool:
    """Whether the environment or the configuration file names a gateway, valid or not, so that the
    embedded stack is not meant.
    """
    try:
        return bool(os.environ.get("MECAPY_URL") or read().get("url"))
    except ConfigError:
        return True


def config_file() -> Path:
    return user_folders().config / "config.toml"


def read() -> dict[str, str]:
    """The content of the configuration file; empty if there is none."""
    path = config_file()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as problem:
        raise ConfigError(
            f"{path} cannot be read: {problem}. Correct it, or delete it and run `mecapy login`"
        ) from None
    if isinstance(values.get("token"), str):
        values["token"] = Secret(values["token"])
    return {key: checked(key, value, str(path)) for key, value in values.items() if key in KEYS}


def set_value(key: str, value: str) -> None:
    """`%mecapy config key=value`; an empty value removes the key."""
    values = read()
    if key not in KEYS:
        raise ConfigError(f"there is no setting {key!r}; there are: {', '.join(KEYS)}")
    values.pop(key, None)
    if value:
        values[key] = checked(key, value, "mecapy config")
    save(values)


def save(values: dict[str, str]) -> None:
    """Writes the whole file, readable by its user alone."""
    # A JSON string without control characters is also a TOML string.
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    write_private(config_file(), "".join(lines))


def checked(key: str, value: object, where: str) -> str:
    """The value in its normal form. Raises `ConfigError`, which never shows a token."""
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {key} must be text in quotes")
    text = type(value)(value.strip())  # a Secret stays one
    if not text.isprintable() or (key == "token" and (not text.isascii() or " " in text)):
        raise ConfigError(f"{where}: {key} has characters that are not allowed; copy it again")
    if key in ("folder", "mark") and text not in ("on", "off"):
        raise ConfigError(f"{where}: {key} is {text!r}; it can be `on` or `off`")
    if key == "url":
        parts = _parts(text)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"{where}: {text!r} is not the address of a gateway, which looks like "
                "https://mecapy.example.org"
            )
        if parts.username or parts.query or parts.fragment:
            raise ConfigError(
                f"{where}: the gateway's address must not have a user, query or "
                "fragment; set MECAPY_TOKEN for the token"
            )
        return text.rstrip("/")
    return text


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # brackets without an address in them
        return urlsplit("")

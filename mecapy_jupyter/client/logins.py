"""Logins on this machine, one per gateway: provides a fresh token for each request.

`logins.json` in the user's configuration directory, readable by them alone, is shared by all
kernels and commands. A lock around each renewal makes one process renew while the others use its
result. With `pip install 'mecapy-jupyter[keyring]'` the refresh token is in the system's keyring.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from mecapy_jupyter.client.device_login import LoginEnded, LoginIssuer, LoginTokens, renew, revoke
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.secret import Secret, write_private
from mecapy_jupyter.shared.user_folders import user_folders

_SERVICE = "mecapy"
_LOCKED_S = 60.0
# in this last part of its life a token is renewed in the background
_EARLY, _EARLY_S = 1 / 3, 60.0
_LATE, _LATE_S = 1 / 10, 10.0  # in this last part before it is used


class Login:
    """The login at one gateway, as one process uses it. Thread-safe."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._access, self._expires_at, self._lifetime_s = Secret(), 0.0, 0.0
        self._renewing = threading.Lock()

    def token(self) -> Secret:
        """A token that stays valid for some seconds at least. Raises NotAuthorized,
        ConnectionFailed.
        """
        if _is_late(self._expires_at, self._lifetime_s):
            with self._renewing:
                if _is_late(self._expires_at, self._lifetime_s):
                    self._refresh(self._access)
        elif self._expires_at - time.time() < min(
            _EARLY_S, self._lifetime_s * _EARLY
        ) and self._renewing.acquire(blocking=False):
            threading.Thread(target=self._refresh_beside, name="mecapy login", daemon=True).start()
        return self._access

    def refused(self, used: str) -> bool:
        """The gateway refused this token. True: another one is available now."""
        with self._renewing:
            if self._access == used:
                with suppress(errors.MecapyError):
                    self._refresh(used)
            return self._access != used

    def _refresh_beside(self) -> None:
        try:
            # the next request then asks, and reports what is wrong
            with suppress(errors.MecapyError):
                self._refresh(self._access)
        finally:
            self._renewing.release()

    def _refresh(self, used: str) -> None:
        """The file's token if it differs and is fresh; otherwise a new one from the issuer, stored
        in the file.
        """
        with _locked():
            stored = _read()
            entry = stored.get(self._url)
            if entry is None:
                raise errors.NotAuthorized(
                    f"you are not logged in at {self._url}: run `mecapy login`, in a notebook "
                    f"`%mecapy login`"
                )
            if entry["access"] == used or _is_late(entry["expires_at"], entry["lifetime_s"]):
                issuer = LoginIssuer(**entry["issuer"])
                try:
                    tokens = renew(issuer, entry["refresh"] or _from_keyring(self._url))
                except LoginEnded:
                    _write({url: one for url, one in stored.items() if url != self._url})
                    raise
                entry = stored[self._url] = _entry(self._url, issuer, tokens)
                _write(stored)
        self._access = entry["access"]
        self._expires_at = entry["expires_at"]
        self._lifetime_s = entry["lifetime_s"]


def _is_late(expires_at: float, lifetime_s: float) -> bool:
    """Whether a token has to be renewed before it is used; true of one that there never was."""
    return expires_at - time.time() < min(_LATE_S, lifetime_s * _LATE)


def keep(url: str, issuer: LoginIssuer, tokens: LoginTokens) -> None:
    """A new login, which replaces an old one."""
    with _locked():
        _write(_read() | {url: _entry(url, issuer, tokens)})


def known(url: str) -> bool:
    """Whether somebody is logged in there."""
    return url in _read()


def forget(url: str) -> bool:
    """Log out: delete the login here and revoke it. False: it could not be revoked, or there was
    none.
    """
    with _locked():
        stored = _read()
        entry = stored.pop(url, None)
        if entry is None:
            return False
        refresh = entry["refresh"] or _from_keyring(url)
        _write(stored)
        _into_keyring(url, "")
    with suppress(errors.MecapyError):
        revoke(LoginIssuer(**entry["issuer"]), refresh)
        return True
    return False


def file() -> Path:
    return user_folders().config / "logins.json"


def _entry(url: str, issuer: LoginIssuer, tokens: LoginTokens) -> dict[str, Any]:
    refresh = Secret() if _into_keyring(url, tokens.refresh) else tokens.refresh
    lives: dict[str, Any] = {
        "expires_at": time.time() + tokens.lifetime_s,
        "lifetime_s": tokens.lifetime_s,
    }
    return {"issuer": asdict(issuer), "access": tokens.access, "refresh": refresh} | lives


def _read() -> dict[str, Any]:
    try:
        return json.loads(file().read_text(encoding="utf-8"), object_hook=_secret)
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as problem:
        raise errors.ConfigError(
            f"{file()} cannot be read ({type(problem).__name__}): delete it, and log in again"
        ) from None


def _secret(part: dict[str, Any]) -> dict[str, Any]:
    return {
        name: Secret(value) if name in ("access", "refresh") else value
        for name, value in part.items()
    }


def _write(entries: dict[str, Any]) -> None:
    write_private(file(), json.dumps(entries))


@contextmanager
def _locked() -> Generator[None]:
    """One thread of one process at a time."""
    file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with file().with_suffix(".lock").open("a") as lock:
        until = time.monotonic() + _LOCKED_S
        while not _took(lock):
            if time.monotonic() > until:
                raise errors.ConfigError(
                    f"another process has held {lock.name} for a minute: end it, and try again"
                )
            time.sleep(0.02)
        yield  # closing the file releases the lock


def _took(lock: IO[str]) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _keyring() -> Any:
    """The system's keyring, if `keyring` is installed and finds a safe one."""
    try:
        import keyring
    except ImportError:
        return None
    # back ends below store plain text, or nothing
    return keyring if keyring.get_keyring().priority >= 1 else None


def _into_keyring(url: str, refresh: str) -> bool:
    """Store it (empty: delete it). False: there is no keyring, or it refuses."""
    if (system := _keyring()) is None:
        return False
    try:
        if refresh:
            system.set_password(_SERVICE, url, str(refresh))
        else:
            system.delete_password(_SERVICE, url)
    except system.errors.KeyringError:
        return False
    return True


def _from_keyring(url: str) -> Secret:
    found = None
    if (system := _keyring()) is not None:
        with suppress(system.errors.KeyringError):
            found = system.get_password(_SERVICE, url)
    if not found:
        raise LoginEnded(
            f"the keyring does not return your login at {url}: unlock it, or run "
            "`mecapy login` again"
        )
    return Secret(found)

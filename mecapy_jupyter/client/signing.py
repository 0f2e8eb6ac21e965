"""Which tasks were submitted from here. Each request is signed with a key that stays in the user's
configuration directory, so somebody else with a token of this user cannot submit a task whose
pickles this user's kernel opens.
"""

from __future__ import annotations

import contextlib
import functools
import hmac
import os
import secrets
import tempfile
from dataclasses import replace
from pathlib import Path

from mecapy_jupyter import wire
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.user_folders import user_folders

_KEY_BYTES = 32


def signed(request: wire.TaskRequest) -> wire.TaskRequest:
    """The request, signed with this user's key. The signature covers all of it."""
    return replace(request, signature=_signature(request, _key()))


def is_signed(request: wire.TaskRequest) -> bool:
    """Whether it was submitted from here and is unchanged."""
    return hmac.compare_digest(
        request.signature.encode(errors="replace"), _signature(request, _key()).encode()
    )


def keyed(digest: bytes) -> str:
    """A name for content, which nobody can guess without this user's key."""
    return hmac.digest(_key(), b"mecapy cache\0" + digest, "sha256").hex()


def key_file() -> Path:
    return user_folders().config / "signing-key"


def _signature(request: wire.TaskRequest, key: bytes) -> str:
    """`timeout` is an integer on one side of the gateway and a float on the other."""
    unsigned = replace(request, signature="", timeout=float(request.timeout)).as_json()
    text = json.dumps(unsigned, sort_keys=True, separators=(",", ":"))
    return hmac.digest(key, b"mecapy request\0" + text.encode(), "sha256").hex()


@functools.cache
def _key() -> bytes:
    """Created if missing. If it cannot be stored, it lasts as long as this process."""
    path = key_file()
    with contextlib.suppress(OSError):
        if not _whole(path):
            make(path)
        if key := _whole(path):
            return key
    return secrets.token_bytes(_KEY_BYTES)


def _whole(path: Path) -> bytes:
    """Empty where there is no key, or a damaged one."""
    with contextlib.suppress(FileNotFoundError):
        key = path.read_bytes()
        return key if len(key) == _KEY_BYTES else b""
    return b""


def make(path: Path) -> None:
    """If several kernels start at once, all use the key of one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent)  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        if path.exists():  # damaged
            Path(draft).replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)

"""Files that never travel automatically (keys, passwords, tokens), and folders that are not a
project.
"""

from __future__ import annotations

import re
import tempfile
from functools import lru_cache
from pathlib import Path

_NAMES = re.compile(
    r"\.env.*|.*\.(pem|key|p12|pfx|kdbx|jks|ppk|keystore)|id_.*|\.netrc|_netrc|\.pypirc|\.pgpass"
    r"|.*(credential|secret|token).*"
)
_KEY = re.compile(rb"\s*(-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File)", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@lru_cache(maxsize=4096)
def by_name(name: str) -> bool:
    """Whether a file or folder of this name may hold a secret."""
    return _NAMES.fullmatch(name.casefold()) is not None


def by_content(name: str, content: bytes) -> bool:
    """Whether it is a private key, or a service account's JSON."""
    if _KEY.match(content.removeprefix(_BYTE_ORDER_MARK)):
        return True
    if b'"private_key' not in content[:1_000_000].lower():
        return False
    return name.casefold().endswith(".json") or content.lstrip()[:1] in (b"{", b"[")


@lru_cache(maxsize=64)
def folder(path: Path) -> str:
    """What kind of folder it is, if nothing travels from it automatically; empty for any other."""
    here = path.resolve()
    home = _home()
    if home is not None and (here == home or here in home.parents):
        return "your home folder, or above it"
    if here == Path(here.anchor):
        return "the root of the disk"
    temporary = {Path(place).resolve() for place in (tempfile.gettempdir(), "/tmp", "/var/tmp")}
    return "the system's folder for temporary files" if here in temporary else ""


def _home() -> Path | None:
    try:
        return Path.home().resolve()
    except (RuntimeError, OSError):  # a user without one
        return None

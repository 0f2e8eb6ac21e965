"""Secrets of a stack: kept in its data directory, readable by its user alone."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path


def kept(path: Path) -> str:
    """The secret in this file, made at first use. Two processes making it at once agree on one."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    draft = _drafted(path)
    try:
        path.hardlink_to(draft)  # atomic, and refuses to replace one that is in use
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text().strip()


def fresh(path: Path) -> str:
    """A new secret in this file, whatever was in it."""
    _drafted(path).replace(path)
    return path.read_text().strip()


def _drafted(path: Path) -> Path:
    """A new secret in a file beside, to be moved to its place."""
    handle, draft = tempfile.mkstemp(dir=path.parent)  # 0600
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return Path(draft)

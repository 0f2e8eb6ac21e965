"""Secrets of a stack: made once, kept in its data directory, readable by its user alone."""

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
    handle, draft = tempfile.mkstemp(dir=path.parent)  # 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o600)
        try:
            path.hardlink_to(draft)  # atomic, and refuses to replace one that is in use
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
    return path.read_text().strip()

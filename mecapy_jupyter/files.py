"""Files that go along with a cell (`--files`) and come home (`--keep`): by content, under their relative paths.

Used on both sides: `gather` where they are, `lay_out` where they go. Large ones are buffers of the payload, so what the store has is not
sent again. Before it: `cell`, `mecapy_worker.results`. A path that leads out of the folder is refused, whoever names it.
"""

from __future__ import annotations

import mmap
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import CannotReceive, ConfigError

SLOT = "<files>"
"""Where they stand among the variables of a cell's inputs; no variable can have that name."""

Files = dict[str, Any]
"""Relative path with slashes → content (the buffer protocol)."""


def gather(patterns: Iterable[str], folder: Path, *, required: bool) -> Files:
    """The regular files of `folder` that match; contents mapped, not read. `required`: a pattern without a match raises ConfigError."""
    found: Files = {}
    for pattern in patterns:
        inside(pattern)
        matches = [path for path in sorted(folder.glob(pattern)) if path.is_file() and not path.is_symlink()]
        if required and not matches:
            raise ConfigError(f"--files {pattern!r} matches no file in {folder}; paths are relative to the notebook's folder")
        found |= {path.relative_to(folder).as_posix(): pickle.PickleBuffer(_content(path)) for path in matches}
    return found


def lay_out(files: Mapping[str, Any], folder: Path) -> list[str]:
    """Write them under `folder`; their paths."""
    for name, content in files.items():
        path = folder / inside(name)
        if any(parent.is_symlink() for parent in (path, *path.parents) if parent != folder and folder in parent.parents):
            raise CannotReceive(f"{name} would be written through a link; remove the link, or keep it elsewhere")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return list(files)


def inside(name: str) -> str:
    """A relative path that stays inside. Raises ConfigError."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith(("/", "~")) or ".." in parts:
        raise ConfigError(f"{name!r} leads out of the folder; name files by their path relative to it")
    return name


def _content(path: Path) -> Any:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""

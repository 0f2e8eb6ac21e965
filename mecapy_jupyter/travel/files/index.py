"""What travels of a folder, as one index: which files, how large, with which times, in which pack.

Both sides. The contents stand in packs beside it (`packs`); paths are relative, with slashes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from mecapy_jupyter.shared.errors import ConfigError

MOST_BYTES, MOST_FILES = 20_000_000, 1_000
"""Of a folder so much travels by itself, there and home (MECAPY_FOLDER_BYTES, _FILES)."""

NO_PACK = -1
"""The file appears with its size and its times, and cannot be opened."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `pack`: which buffer has its content, from `offset` on; or NO_PACK."""

    path: str
    size_bytes: int
    mtime_ns: int
    executable: bool = False
    pack: int = NO_PACK
    offset: int = 0

    def as_list(self) -> list[str | int]:
        """`astuple` takes thirty times as long: it copies deeply."""
        return [self.path, self.size_bytes, self.mtime_ns, self.executable, self.pack, self.offset]


@dataclass(frozen=True, slots=True)
class Index:
    """`start`: where the cell begins, below the task's own folder; all paths are relative to that.

    `home`: the notebook's folder as the kernel names it; `partial`: folders (as `start/data`) of
    which something stayed at home; `automatic`: what the cell writes comes home by itself, up to
    `most_files` and `most_bytes`.
    """

    start: str = "."
    home: str = ""
    entries: tuple[Entry, ...] = ()
    folders: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    partial: tuple[str, ...] = ()
    automatic: bool = False
    most_files: int = MOST_FILES
    most_bytes: int = MOST_BYTES

    def encode(self) -> bytes:
        return json.dumps(
            {
                "start": self.start,
                "home": self.home,
                "entries": [entry.as_list() for entry in self.entries],
                "folders": self.folders,
                "links": self.links,
                "partial": self.partial,
                "automatic": self.automatic,
                "most_files": self.most_files,
                "most_bytes": self.most_bytes,
            }
        ).encode()

    @classmethod
    def decode(cls, text: bytes) -> Index:
        data = json.loads(bytes(text))
        return cls(
            data["start"],
            data["home"],
            tuple(Entry(*entry) for entry in data["entries"]),
            tuple(data["folders"]),
            tuple((path, target) for path, target in data["links"]),
            tuple(data["partial"]),
            data["automatic"],
            data["most_files"],
            data["most_bytes"],
        )

    @property
    def paths(self) -> list[str]:
        """Of the files in the cell's folder, as the cell writes them."""
        return [path for entry in self.entries if (path := self.below_start(entry.path))]

    def below_start(self, path: str) -> str | None:
        """A path of the index as the cell writes it; None for one that lies above its folder."""
        if self.start == ".":
            return path
        return path[len(self.start) + 1 :] if path.startswith(f"{self.start}/") else None


def inside(name: str) -> str:
    """A relative path that stays inside, on any system. Raises ConfigError."""
    parts, windows = PurePosixPath(name).parts, PureWindowsPath(name)
    leads_out = ".." in parts or ".." in windows.parts or windows.drive or windows.root
    if not parts or name.startswith(("/", "~")) or leads_out or "\0" in name:
        raise ConfigError(
            f"{name!r} leads out of the folder; name files by their path relative to it (only "
            f"--files may begin with ../)"
        )
    return name


_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"}
)


def no_file_on_windows(name: str) -> str:
    """Why Windows would open something else than a file of this name, or none; empty: it does what
    it says. Nowhere else are these names special.
    """
    for part in name.replace("\\", "/").split("/"):
        if part.partition(".")[0].rstrip(" ").upper() in _DEVICES:
            return f"{part} is a device on Windows"
        if part.endswith((".", " ")):
            return f"Windows drops the end of {part!r}"
        if odd := next((char for char in part if char in '<>:"|?*' or char < " "), ""):
            return f"a name on Windows cannot have {odd!r}"
    return ""


@dataclass(frozen=True, slots=True)
class Carried:
    """How a folder stands in the first object of a stream: the index and the packs, None for each
    that is a buffer beside the stream (its last ones, in order); and when it was sent, for which
    `--keep`.
    """

    parts: tuple[bytes | None, ...]
    at_ns: int
    keep: tuple[str, ...] = ()

    @property
    def beside(self) -> int:
        """How many buffers are its own."""
        return self.parts.count(None)

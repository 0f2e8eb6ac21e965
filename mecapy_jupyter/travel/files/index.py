"""The index of a folder that travels: names, sizes, times and packs of files. Both sides. The
contents are in packs beside it (`packs`); paths are relative, with slashes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.errors import ConfigError

MOST_BYTES, MOST_FILES = 20_000_000, 1_000
"""How much of a folder travels automatically, both ways (MECAPY_FOLDER_BYTES, _FILES)."""

NO_PACK = -1
"""The file appears with its size and times, and cannot be opened."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. `pack`: the buffer with its content, from `offset` on; or NO_PACK."""

    path: str
    size_bytes: int
    mtime_ns: int
    executable: bool = False
    pack: int = NO_PACK
    offset: int = 0

    def as_list(self) -> list[str | int]:
        """`astuple` takes thirty times as long, because it copies deeply."""
        return [self.path, self.size_bytes, self.mtime_ns, self.executable, self.pack, self.offset]


@dataclass(frozen=True, slots=True)
class Index:
    """`start`: where the cell starts, below the task's folder; all paths are relative to it.

    `home`: the notebook's folder as the kernel names it; `partial`: folders (as `start/data`) of
    which something stayed; `automatic`: files of the cell come home automatically, up to
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
        held = {name: getattr(self, name) for name in self.__slots__}
        entries = [entry.as_list() for entry in self.entries]
        return json.dumps(held | {"entries": entries}).encode()

    @classmethod
    def decode(cls, text: bytes) -> Index:
        held = json.loads(bytes(text))
        several = {name: tuple(held[name]) for name in ("folders", "partial")}
        several["links"] = tuple((path, target) for path, target in held["links"])
        several["entries"] = tuple(Entry(*entry) for entry in held["entries"])
        return cls(**held | several)

    @property
    def paths(self) -> list[str]:
        """The files in the cell's folder, by path as the cell writes it."""
        return [path for entry in self.entries if (path := self.below_start(entry.path))]

    def below_start(self, path: str) -> str | None:
        """A path of the index as the cell writes it; None if it is above its folder."""
        if self.start == ".":
            return path
        return path[len(self.start) + 1 :] if path.startswith(f"{self.start}/") else None


_SEPARATORS = re.compile(r"[/\\]")
_BEGINS_OUTSIDE = re.compile(r"[/\\~]|[A-Za-z]:")


def inside(name: str) -> str:
    """A relative path that stays inside, on any system. Raises ConfigError."""
    parts = set(_SEPARATORS.split(name))  # for each file: pathlib takes ten times as long
    if not parts - {"", "."} or ".." in parts or _BEGINS_OUTSIDE.match(name) or "\0" in name:
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
    """Why Windows would open something other than a file of this name; empty if it would not. Other
    systems do not treat these names specially.
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
    """The folder in the first object of a stream: the index and the packs (None for each that is
    one of the last buffers beside the stream, in order), and the time for `--keep`.
    """

    parts: tuple[bytes | None, ...]
    at_ns: int
    keep: tuple[str, ...] = ()

    @property
    def beside(self) -> int:
        """The number of its own buffers."""
        return self.parts.count(None)

"""A lock: each package with version and hashes, resolved for this worker's Python and platform.
What the worker has in that version already is left out.
"""

from __future__ import annotations

import contextlib
import re
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3
from packaging.utils import canonicalize_name

from mecapy_backend.shared.settings import Settings
from mecapy_worker.packages.base import BasePackages, preloaded
from mecapy_worker.packages.installer import Indexes, InstallerFailed, run_uv

_PIN = re.compile(r"(?m)^([A-Za-z0-9._-]+)==(\S+)")
_ENTRIES = re.compile(r"(?m)^(?=[A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock in the format of requirements files."""

    text: str

    @property
    def versions(self) -> dict[str, str]:
        return {canonicalize_name(name): version for name, version in _PIN.findall(self.text)}

    @property
    def digest(self) -> str:
        about = f"{sys.implementation.cache_tag} {sysconfig.get_platform()}\n{self.text}"
        return blake3(about.encode()).hexdigest()[:32]


async def resolved(
    settings: Settings,
    indexes: Indexes,
    wanted: Iterable[str],
    base: BasePackages,
    cache: Path,
    work: Path,
) -> Lock:
    """Prefers the versions that the worker has. Where one of what every child has imported must
    change, the others of these are chosen to fit it, if that is possible. Raises InstallerFailed.
    """
    (work / "ours.txt").write_text(_pins(base.ours))

    async def compiled(asked: Iterable[str]) -> Lock:
        (work / "asked.txt").write_text("\n".join(asked))
        lock = work / "lock.txt"
        lock.write_text(_pins(base.versions))  # uv keeps what stands there, where it can
        constraints = ["ours.txt", *filter(None, [settings.packages_constraints])]
        await run_uv(
            settings,
            indexes,
            (
                *("pip", "compile", "asked.txt", "-o", "lock.txt", "--quiet"),
                *("--generate-hashes", "--only-binary", ":all:", "--no-header", "--no-annotate"),
                *("--python", sys.executable, "--index-strategy", "first-index"),
                *(word for name in constraints for word in ("-c", name)),
            ),
            cache,
            work,
        )
        return Lock(lock.read_text())

    lock = await compiled(wanted)
    loaded = preloaded(settings, base)
    if any(lock.versions.get(name, base.versions[name]) != base.versions[name] for name in loaded):
        with contextlib.suppress(InstallerFailed):  # what does not fit cannot be imported then
            lock = await compiled([*wanted, *loaded])
    return _without(lock, base.versions)


def _pins(versions: Mapping[str, str]) -> str:
    # a local version ("1.0+cu121") is in no index
    return "".join(f"{name}=={v}\n" for name, v in sorted(versions.items()) if "+" not in v)


def _without(lock: Lock, there: Mapping[str, str]) -> Lock:
    entries = [entry for entry in _ENTRIES.split(lock.text) if _PIN.match(entry)]
    kept = [
        entry
        for entry in entries
        for name, version in Lock(entry).versions.items()
        if there.get(name) != version
    ]
    return Lock("".join(kept))

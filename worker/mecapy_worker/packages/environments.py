"""Where the packages that tasks add lie: a folder for each lock, within one organisation, installed
once and then only read. What was not used longest goes first.

    <root>/<organisation>/<lock>/site-packages    <root>/<organisation>/locks, cache, building
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from blake3 import blake3

from mecapy_backend.shared.settings import Settings
from mecapy_worker.log import log
from mecapy_worker.packages import base, requested
from mecapy_worker.packages.installer import Indexes, InstallerFailed, run_uv
from mecapy_worker.packages.lock import Lock, resolved
from mecapy_worker.packages.requested import PackagesRefused
from mecapy_worker.pool.nest import AddedPackages
from mecapy_worker.shared import folder_lock

_FOLDER = "site-packages"  # its name says that nothing in it is the user's own
_LOCK_S = 24 * 3600.0  # so long the newest versions stay what they were
_SECRET = "secret"

Say = Callable[[str], None]


class Environments:
    """The environments of one worker; several workers on a machine share the folder."""

    def __init__(self, settings: Settings, root: Path) -> None:
        self.root = root
        self._settings, self._indexes = settings, Indexes.of(settings)
        self._building = dict[tuple[str, ...], asyncio.Lock]()
        self._secret = _secret(root / _SECRET)

    async def added(self, organisation: str, texts: tuple[str, ...], say: Say) -> AddedPackages:
        """What a task of this organisation adds, installed. Raises PackagesRefused."""
        wanted = requested.checked(texts, self._settings)
        names = ", ".join(wanted)
        # nobody else can tell from a folder's name which packages an organisation has
        folder = self.root / blake3(organisation.encode(), key=self._secret).hexdigest()[:32]
        # one at a time: the second finds what the first has made
        async with self._building.setdefault((folder.name, *wanted), asyncio.Lock()):
            try:
                lock = await self._lock(folder, wanted, lambda: say(f"resolving {names}…"))
                return await self._installed(folder, lock, lambda: say(f"installing {names}…"))
            except InstallerFailed as failed:
                raise requested.explained(wanted, str(failed)) from None

    async def _lock(self, folder: Path, wanted: tuple[str, ...], say: Callable[[], None]) -> Lock:
        about = repr((wanted, sys.version, base.changed(), self._indexes.urls, self._constraints()))
        kept = folder / "locks" / blake3(about.encode()).hexdigest()[:32]
        with contextlib.suppress(OSError):
            if time.time() - kept.stat().st_mtime < _LOCK_S:
                return Lock(kept.read_text())
        say()
        there = await asyncio.to_thread(base.base_packages)
        with _work_folder(folder) as work:
            cache = _cache(folder)
            lock = await resolved(self._settings, self._indexes, wanted, there, cache, work)
            (work / "kept").write_text(lock.text)
            kept.parent.mkdir(exist_ok=True)
            (work / "kept").rename(kept)
        return lock

    def _constraints(self) -> str:
        path = self._settings.packages_constraints
        return Path(path).read_text() if path else ""

    async def _installed(self, folder: Path, lock: Lock, say: Callable[[], None]) -> AddedPackages:
        place = folder / lock.digest / _FOLDER
        if not lock.text:
            place = folder / "empty" / _FOLDER
            place.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            say()
            await self._install(folder, lock, place)
        os.utime(place.parent)
        return AddedPackages(str(place), _top_level(place))

    async def _install(self, folder: Path, lock: Lock, place: Path) -> None:
        since = time.monotonic()
        with _work_folder(folder) as work:
            (work / "lock.txt").write_text(lock.text)
            await run_uv(
                self._settings,
                self._indexes,
                (
                    *("pip", "install", "--requirements", "lock.txt", "--target", _FOLDER),
                    *("--require-hashes", "--only-binary", ":all:", "--no-deps", "--quiet"),
                    *("--link-mode", "copy", "--compile-bytecode", "--python", sys.executable),
                    *("--index-strategy", "first-index"),
                ),
                _cache(folder),
                work,
            )
            (work / _FOLDER).mkdir(exist_ok=True)
            place.parent.mkdir(exist_ok=True)
            with contextlib.suppress(FileExistsError, OSError):  # another worker was first
                (work / _FOLDER).rename(place)
        log.info("installed", packages=lock.versions, seconds=round(time.monotonic() - since, 1))
        await asyncio.to_thread(_make_room, self.root, self._settings.packages_bytes, place.parent)


def _secret(path: Path) -> bytes:
    """Created by the first process that needs it, and complete from the start."""
    new = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    new.touch(0o600)
    new.write_bytes(secrets.token_bytes(32))
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(new)
    new.unlink()
    return path.read_bytes()


def _cache(folder: Path) -> Path:
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    os.utime(cache)
    return cache


@contextlib.contextmanager
def _work_folder(folder: Path) -> Generator[Path]:
    """Empty, for one run of the installer; locked, so that what a crash left is known."""
    building = folder / "building"
    building.mkdir(parents=True, exist_ok=True)
    for place in (folder, building):
        place.chmod(0o711)
    work, lock = folder_lock.made(lambda: Path(tempfile.mkdtemp(dir=building)))
    try:
        work.chmod(0o755)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


def _top_level(place: Path) -> frozenset[str]:
    names = (entry.name.partition(".")[0] for entry in place.iterdir())
    return frozenset(name for name in names if name.isidentifier() and name != "bin")


def _make_room(root: Path, most_bytes: int, newest: Path) -> None:
    """Remove the longest unused until the rest fits, and what a crash left half made."""
    for left in folder_lock.left(root.glob("*/building/*")):
        shutil.rmtree(left, ignore_errors=True)
    places = [place for place in root.glob("*/*") if place.name not in ("locks", "building")]
    sized = sorted((place.stat().st_mtime, place, _size(place)) for place in places)
    total = sum(size for _, _, size in sized)
    for _, place, size in sized:
        if total <= most_bytes:
            return
        if place != newest:
            # away at once for those who look, and then piece by piece
            doomed = place.with_name("building") / f"{place.name}-{secrets.token_hex(4)}"
            with contextlib.suppress(OSError):
                place.rename(doomed)
                shutil.rmtree(doomed, ignore_errors=True)
                total -= size


def _size(place: Path) -> int:
    return sum(
        os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 (thousands)
        for folder, _, names in os.walk(place)
        for name in names
    )


__all__ = ["Environments", "PackagesRefused"]

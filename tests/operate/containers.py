"""An image, built by buildah on a stand-in base, and what is in them run as a runtime would: as
their user, in a root that is read-only but for /tmp.

There is no engine here, and no registry of images; the base is a Debian with its own Python. A slow
disk costs the most: a tmpfs as TMPDIR and `--basetemp` spares it (6 GB). Not /dev/shm, below which
a task may write, and so into an image that lies there.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mecapy_jupyter.shared.processes import mecapy_command
from mecapy_jupyter.shared.version import __version__

from ..house.tracked import ROOT

NEEDED = ("buildah", "mmdebstrap", "unshare", "chroot")
BASE = "localhost/mecapy-base"
SUITES = {"bookworm": "3.11", "trixie": "3.13"}
"""Of Debian, with their Python."""
_PACKAGES = "python3,python3-venv,ca-certificates"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HOSTS = ("/etc/ssl/certs", "/etc/pip.conf", "/etc/hosts", "/etc/resolv.conf")
_INSIDE = """set -e
mount --make-rprivate /
mount --bind {root} {root}
mount -t tmpfs tmpfs {root}/tmp
mount --rbind /proc {root}/proc
mount --rbind /dev {root}/dev
{binds}
mount -o remount,bind,ro {root}
exec chroot --userspec={user}:{user} {root} /usr/bin/env -i "$@"
"""


def lacking() -> str:
    """Why images cannot be built here; "": they can."""
    if missing := [name for name in NEEDED if not shutil.which(name)]:
        return f"needs {', '.join(missing)} (apt-get install buildah mmdebstrap)"
    return "" if os.geteuid() == 0 else "needs root, to mount"


@dataclass(frozen=True)
class Image:
    """Unpacked at `root`, with what its Dockerfile says."""

    root: Path
    config: dict[str, Any]

    @property
    def user(self) -> str:
        return str(self.config["User"])

    @property
    def environment(self) -> dict[str, str]:
        return dict(one.split("=", 1) for one in self.config["Env"])

    @property
    def health(self) -> list[str]:
        return list(self.config["Healthcheck"]["Test"][1:])

    @property
    def command(self) -> list[str]:
        return list(self.config["Cmd"])

    def argv(
        self, command: Sequence[str], environment: Mapping[str, str], binds: Mapping[Path, str]
    ) -> list[str]:
        """The command as the image's user. `binds`: folders of ours → where they are inside."""
        mounts = "\n".join(f"mount --bind {here} {self.root}{at}" for here, at in binds.items())
        script = _INSIDE.format(root=self.root, binds=mounts, user=self.user)
        named = [f"{name}={value}" for name, value in (self.environment | environment).items()]
        return ["unshare", "--mount", "sh", "-c", script, "sh", *named, *command]

    def run(
        self,
        *command: str,
        environment: Mapping[str, str] | None = None,
        binds: Mapping[Path, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        argv = self.argv(command, environment or {}, binds or {})
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)

    @contextmanager
    def running(
        self, environment: Mapping[str, str], binds: Mapping[Path, str], log: Path
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The image's own command."""
        argv = self.argv(self.command, environment, binds)
        with log.open("wb") as out:
            process = subprocess.Popen(argv, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(120)


class Builder:
    """Images in a store of their own, gone with its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tool = ("buildah", "--storage-driver", "vfs")
        self._tool += ("--root", str(folder / "store"), "--runroot", str(folder / "run"))
        self._engines = folder / "engines"
        self._engines.mkdir()
        ours = shlex.join([shutil.which("buildah") or "", *self._tool[1:]])
        for name, text in (("docker", "exit 1"), ("podman", "exit 1"), ("buildah", f'{ours} "$@"')):
            (self._engines / name).write_text(f"#!/bin/sh\n{text}\n")
            (self._engines / name).chmod(0o755)

    def base(self, suite: str) -> None:
        self.python = SUITES[suite]
        tar = self._folder / "base.tar"
        mirror = "http://deb.debian.org/debian"
        _done("mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}", suite, tar, mirror)
        container = self._buildah("from", "scratch")
        self._buildah("add", "-q", container, str(tar), "/")
        self._buildah("config", "--env", f"PATH={_PATH}", container)
        self._buildah("commit", "-q", container, BASE)
        self._buildah("rm", container)
        tar.unlink()

    def image(self, name: str) -> Image:
        """As `mecapy deploy image` builds it. The registry of packages is reached as on this
        machine.
        """
        part = {"backend": "gateway"}.get(name, name)
        volumes = [f"--volume={path}:{path}:ro" for path in _HOSTS if Path(path).exists()]
        words = ("-q", "--isolation", "chroot", "--network", "host", f"--build-arg=BASE={BASE}")
        deploy = mecapy_command("deploy", "image", "--part", part, "--python", self.python)
        path = f"{self._engines}:{os.environ['PATH']}"
        _done(*deploy, "--", *words, *volumes, env=os.environ | {"PATH": path})
        container = self._buildah("from", f"localhost/mecapy-{part}:{__version__}-py{self.python}")
        about = json.loads(self._buildah("inspect", container))
        return Image(Path(self._buildah("mount", container)), about["Docker"]["config"])

    def _buildah(self, *words: str) -> str:
        return _done(*self._tool, *words)


def _done(*words: object, env: Mapping[str, str] | None = None) -> str:
    argv = [str(word) for word in words]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, timeout=3000, cwd=ROOT, env=env
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()

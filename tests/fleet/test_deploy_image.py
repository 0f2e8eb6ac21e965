"""`mecapy deploy image`: with engines of this folder's own, and long with the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mecapy_backend.deploy import image
from mecapy_backend.deploy.image import WantedImages
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.version import __version__

from ..house.tracked import ROOT

GOLDEN = f"""$ podman build --format docker -f {ROOT}/worker/Dockerfile --build-arg PYTHON=3.12 \
-t rg.example/mecapy-worker:{__version__}-py3.12 -t rg.example/mecapy-worker:{__version__} {ROOT}
$ podman push rg.example/mecapy-worker:{__version__}-py3.12
$ podman push rg.example/mecapy-worker:{__version__}
$ podman build --format docker -f {ROOT}/worker/Dockerfile --build-arg PYTHON=3.13 \
-t rg.example/mecapy-worker:{__version__}-py3.13 {ROOT}
$ podman push rg.example/mecapy-worker:{__version__}-py3.13
"""


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker without its service, and a podman that notes what it is told."""
    for name, text in (
        ("docker", "exit 1"),
        ("podman", f'[ "$1" = info ] || echo "$ podman $@" >>{tmp_path}/told; [ "$1" != "$FAIL" ]'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


WANTED = WantedImages("worker", "rg.example/mecapy-worker", ("3.12", "3.13"), ROOT, push=True)


def test_each_python(
    engines: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image for each Python with the version in its tags, by the engine that works; a dry run
    says the same and does nothing.
    """
    assert image.deploy(WANTED, dry_run=True) == 0
    assert capsys.readouterr().out == f"{GOLDEN}nothing was built (--dry-run)\n"
    assert not (engines / "told").exists()
    assert image.deploy(WANTED, dry_run=False) == 0
    assert (engines / "told").read_text() == GOLDEN
    monkeypatch.setenv("FAIL", "push")
    assert image.deploy(WANTED, dry_run=False) == 1


def test_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence, where there is no checkout and where there is no engine."""
    with pytest.raises(ConfigError, match=r"has no worker/Dockerfile: run it in a checkout"):
        image.deploy(WantedImages(source=tmp_path), dry_run=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="install docker, podman or buildah"):
        image.engine()

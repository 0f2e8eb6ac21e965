"""The folder of a cell, written over what an earlier task left, is as if it were written anew."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mecapy_jupyter.travel.files import gather
from mecapy_jupyter.travel.files.lay_out import lay_out

_OLD = 1_700_000_000
_NAMES = [f"{folder}/{number}.txt" for folder in ("a", "a/b", "c") for number in range(8)]


@pytest.fixture
def sent(tmp_path: Path) -> gather.Along:
    for name in _NAMES:
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (_OLD, _OLD))
    (tmp_path / "here/c/0.txt").chmod(0o755)
    return gather.gather(tmp_path / "here")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cell's folder in a child, with its umask."""
    (tmp_path / "task").mkdir()
    monkeypatch.chdir(tmp_path / "task")
    monkeypatch.setattr(sys, "addaudithook", str)  # it would stay for all tests
    before = os.umask(0o077)
    yield tmp_path / "task" / "here"
    os.umask(before)


def _write(sent: gather.Along, task: Path) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of everything that is there afterwards."""
    os.chdir(task.parent)
    lay_out(*sent.carried(()), lambda _: True)
    return {
        str(path.relative_to(task)): (
            path.stat().st_mode,
            0 if path.is_dir() else path.stat().st_mtime_ns,
            b"" if path.is_dir() else path.read_bytes(),
        )
        for path in task.rglob("*")
    }


def _same_size_and_time(task: Path) -> None:
    path = task / "a/1.txt"
    path.write_text(path.read_text()[::-1])
    os.utime(path, (_OLD, _OLD))


def _file_for_folder(task: Path) -> None:
    for name in _NAMES[16:]:
        (task / name).unlink()
    (task / "c").rmdir()
    (task / "c").write_text("a file")


def _folder_for_file(task: Path) -> None:
    (task / "a/1.txt").unlink()
    (task / "a/1.txt/deep").mkdir(parents=True)
    (task / "a/1.txt/deep/file").write_text("new")


_CHANGES: list[Callable[[Path], object]] = [
    lambda task: None,
    _same_size_and_time,
    _file_for_folder,
    _folder_for_file,
    lambda task: (task / "a/b/3.txt").unlink(),
    lambda task: (task / "a/b/3.txt").write_text("longer than it was"),
    lambda task: os.utime(task / "a/b/3.txt"),
    lambda task: (task / "a/b/3.txt").chmod(0o777),
    lambda task: (task / "c/0.txt").chmod(0o600),
    lambda task: (task / ".hidden").write_text("new"),
    lambda task: (task / "new/one").mkdir(parents=True),
]


@pytest.mark.parametrize("change", _CHANGES)
def test_as_if_written_anew(
    sent: gather.Along, task: Path, change: Callable[[Path], object]
) -> None:
    """Whatever a cell did to its files; those that it left alone are not written."""
    first = _write(sent, task)
    untouched = (task / "a/b/7.txt").stat()
    change(task)
    assert _write(sent, task) == first
    assert (task / "a/b/7.txt").stat() == untouched or change is not _CHANGES[0]


def test_a_file_changes_here(sent: gather.Along, task: Path, tmp_path: Path) -> None:
    """Between two cells: the second finds it changed, and one that is gone here is gone there."""
    _write(sent, task)
    (tmp_path / "here/a/1.txt").write_text("changed")
    (tmp_path / "here/a/2.txt").unlink()
    _write(gather.gather(tmp_path / "here"), task)
    assert (task / "a/1.txt").read_text() == "changed" and not (task / "a/2.txt").exists()

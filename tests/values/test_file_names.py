"""Files that do not come home: names that lead out, or that a system reads otherwise."""

from __future__ import annotations

import contextlib
import os
import pickle
import sqlite3
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.travel.files import bring_home, collect, missing
from mecapy_jupyter.travel.files.bring_home import SentFolder
from mecapy_jupyter.travel.files.collect import Collected, comes_by_itself
from mecapy_jupyter.travel.files.index import Entry, Index, inside, no_file_on_windows

from .test_folder_files import _write


def test_names_that_lead_out() -> None:
    """On any system."""
    for name in (
        "..",
        "a/../b",
        "/x",
        "~x",
        "..\\x",
        "C:\\x",
        "C:x",
        "\\x",
        "a\0b",
        "a\\..\\b",
        "",
    ):
        with pytest.raises(ConfigError):
            inside(name)
    assert inside("a/b c.txt") == "a/b c.txt"


@pytest.mark.parametrize(
    "name",
    [
        "CON",
        "nul.txt",
        "out/Aux.tar.gz",
        "com1",
        "LPT9.log",
        "COM².x",
        "conin$",
        "NUL .txt",
        "out.csv.",
        "out.csv ",
        "sub./x",
        "out.csv:hidden",
        "out.csv::$DATA",
        "a*",
        "a?",
        'a"b',
        "a<b",
        "a|b",
        "a\x1fb",
        "a\nb",
    ],
)
def test_names_that_windows_reads_otherwise(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There such a file does not come home, and the reason is named; elsewhere it is one like any
    other.
    """
    sent = SentFolder(Index(home=str(project), automatic=True))
    home = Collected({name: pickle.PickleBuffer(b"new"), "console.txt": pickle.PickleBuffer(b"1")})
    with monkeypatch.context() as patch:
        patch.setattr(bring_home, "sys", SimpleNamespace(platform="win32"))
        (said,) = bring_home.bring_home(home, sent, "1a2b3c4d")
    assert said.startswith(f"{name} did not come home: ") and "Windows" in said
    assert [path.name for path in project.iterdir()] == ["console.txt"]
    assert bring_home.bring_home(home, sent, "1a2b3c4d") == []
    assert (project / name).read_bytes() == b"new"


@pytest.mark.parametrize("name", ["console", "nulls.txt", "com10", "a.b.c", ".hidden", "ünï/x y"])
def test_names_that_windows_takes(name: str) -> None:
    """What only looks like a device is a file."""
    assert no_file_on_windows(name) == ""


def test_what_is_kept_of_links(project: Path) -> None:
    """A link is not followed and a pipe is not waited for, whatever a pattern says; a file that has
    two names is a file.
    """
    outside = project.parent / "outside"
    outside.mkdir()
    _write(outside, {"secret.txt": "secret"})
    _write(project, {"a.txt": "a"})
    (project / "link.txt").symlink_to(outside / "secret.txt")
    (project / "loop.txt").symlink_to("loop.txt")
    (project / "two.txt").hardlink_to(project / "a.txt")
    os.mkfifo(project / "pipe.txt")
    kept = collect.gather(["*.txt", "**/*.txt"], project)
    contents = {name: bytes(memoryview(content)) for name, content in kept.items()}
    assert contents == {"a.txt": b"a", "two.txt": b"a"}
    for pattern in ("../*", "/etc/*", "a/../../*"):
        with pytest.raises(ConfigError):
            collect.gather([pattern], project)


def test_a_junction_is_a_link(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that Windows mounts from elsewhere is not written through."""
    (project / "sub").mkdir()
    status = SimpleNamespace(st_mode=stat.S_IFDIR, st_reparse_tag=0xA0000003)
    sent = SentFolder(Index(home=str(project), automatic=True))
    home = Collected({"sub/x": pickle.PickleBuffer(b"new")})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", lambda _: status)
        (said,) = bring_home.bring_home(home, sent, "1a2b3c4d")
    assert "through a link" in said and not (project / "sub" / "x").exists()


def test_what_comes_home_stays_inside(project: Path) -> None:
    """Nothing outside, nothing through a link; the rest arrives, and what did not is named."""
    outside = project.parent / "outside"
    outside.mkdir()
    (project / "link").symlink_to(outside)
    (project / "file").symlink_to(outside / "target")
    evil = ["../up.txt", str(outside / "abs.txt"), "link/x.txt", "file", "..\\w.txt", "C:\\w.txt"]
    home = Collected(dict.fromkeys([*evil, "good/x.txt"], pickle.PickleBuffer(b"new")))
    sent = SentFolder(Index(home=str(project), automatic=True))
    said = bring_home.bring_home(home, sent, "1a2b3c4d")
    assert (project / "good" / "x.txt").read_bytes() == b"new"
    assert list(outside.iterdir()) == [] and not (project.parent / "up.txt").exists()
    assert sorted(path.name for path in project.iterdir()) == ["file", "good", "link"]
    assert len(said) == len(evil) and all("did not come home" in sentence for sentence in said)


def test_a_file_is_written_whole_or_not(project: Path) -> None:
    """One that cannot be written leaves the old one, and nothing beside it; its rights stay."""
    path = project / "run.sh"
    path.write_text("old")
    path.chmod(0o755)
    with pytest.raises(TypeError):
        bring_home.write(path, 7)
    assert path.read_text() == "old" and [one.name for one in project.iterdir()] == ["run.sh"]
    bring_home.write(path, b"new")
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o755


def test_what_is_open_here_sees_what_came(project: Path) -> None:
    """A log, a map and a database here read on, and what they write later is not lost."""
    project.joinpath("run.log").write_text("here\n")
    np.zeros(3).tofile(project / "u.bin")
    mapped = np.memmap(project / "u.bin", mode="r+")
    with contextlib.closing(sqlite3.connect(project / "r.db")) as base:
        base.execute("create table t(a)")
        there = project.parent / "there.db"
        there.write_bytes((project / "r.db").read_bytes())
        with contextlib.closing(sqlite3.connect(there)) as other, other:
            other.execute("insert into t values (2)")
        with (project / "run.log").open("a") as log:
            came = {"run.log": b"here\ncell\n", "u.bin": b"\1" * 30, "r.db": there.read_bytes()}
            assert _come(project, came) == []
            log.write("after\n")
        assert (project / "run.log").read_text() == "here\ncell\nafter\n"
        assert bytes(mapped) == b"\1" * 24 and (project / "u.bin").stat().st_size == 30
        base.execute("insert into t values (3)")
        base.commit()
        assert base.execute("select a from t").fetchall() == [(2,), (3,)]


def test_a_database_with_a_journal_here_is_not_overwritten(project: Path) -> None:
    """The transaction here and the file's first state stay; the cell's comes beside it."""
    with contextlib.closing(sqlite3.connect(project / "r.db")) as base:
        base.execute("create table t(a)")
        base.execute("insert into t values (1)")
        assert (project / "r.db-journal").exists()
        said = _come(project, {"r.db": b"other", "r.db-journal": b"other"})
        assert "r.pool-1a2b3c4d.db" in said[0]
        base.commit()
        assert base.execute("select a from t").fetchall() == [(1,)]


def _come(project: Path, files: dict[str, bytes]) -> list[str]:
    """Files come home that a cell has changed; returns the remarks."""
    stats = {path.name: path.stat() for path in project.iterdir()}
    entries = (Entry(name, it.st_size, it.st_mtime_ns) for name, it in stats.items())
    sent = SentFolder(Index(home=str(project), entries=tuple(entries), automatic=True))
    home = Collected({name: pickle.PickleBuffer(content) for name, content in files.items()})
    return bring_home.bring_home(home, sent, "1a2b3c4d")


def test_what_comes_by_itself() -> None:
    """No code, no notebook, nothing hidden."""
    names = ("a.csv", "sub/a.vtk", "a.py", "a.ipynb", ".a", "sub/.cache/x", "a.pyc.txt")
    assert list(filter(comes_by_itself, names)) == ["a.csv", "sub/a.vtk", "a.pyc.txt"]


def test_errors_of_libraries_that_name_a_file(project: Path) -> None:
    """As numpy, h5py and polars say it."""
    _write(project, {"x.h5": "1"})
    for text in (
        "[Errno 2] Unable to open file (unable to open file: name = 'x.h5', errno = 2)",
        "x.h5 not found.",
        "No such file or directory (os error 2): x.h5",
        f"No such file or directory (os error 2): {project / 'x.h5'}",
    ):
        said = missing.unsent(FileNotFoundError(text), project)
        assert len(said) == 1 and "--files x.h5" in said[0], text

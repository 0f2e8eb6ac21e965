"""What is taken of a folder, how its contents are packed, and how files are put into it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mecapy_jupyter.travel.files import gather, never_sent, packs
from mecapy_jupyter.travel.files.bring_home import SentFolder
from mecapy_jupyter.travel.files.scan import MANY, SECRET

_OLD = 1_700_000_000


def _write(project: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.utime(path, (_OLD, _OLD))


def _contents(along: gather.Along) -> dict[str, bytes]:
    return {
        entry.path.partition("/")[2]: bytes(along.packs[entry.pack])[
            entry.offset : entry.offset + entry.size_bytes
        ]
        for entry in along.index.entries
        if entry.pack >= 0
    }


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".ENV.production",
        "a.Pem",
        "x.key",
        "k.p12",
        "id_rsa",
        "ID_ED25519.pub",
        ".netrc",
        "my-Credentials.json",
        "SECRETS.yaml",
        "refresh_token",
        ".pypirc",
        "vault.KDBX",
    ],
)
def test_names_of_secrets(name: str) -> None:
    """In any case of letters."""
    assert never_sent.by_name(name)


def test_contents_of_secrets() -> None:
    """A private key in any file; a service account's key in JSON, and not in a text about it."""
    assert never_sent.by_content("deploy", b"-----BEGIN RSA PRIVATE KEY-----\n")
    assert never_sent.by_content("x.txt", b"\xef\xbb\xbf\n-----begin encrypted private key-----")
    assert never_sent.by_content("account", b'\n{"a": 1, "PRIVATE_KEY": "x"}')
    assert not never_sent.by_content("notes.md", b'the field "private_key" of the account')
    assert not never_sent.by_content("cert.txt", b"-----BEGIN CERTIFICATE-----")


def test_folders_that_send_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The home folder, what it lies in, the root, the temporary folder; not a folder in them."""
    home = tmp_path / "users" / "ada"
    (home / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    never_sent.folder.cache_clear()
    refused = [home, home.parent, Path("/"), Path("/tmp")]
    assert all(map(never_sent.folder, refused)) and not never_sent.folder(home / "work")
    (home / "a.txt").write_text("a")
    assert not gather.gather(home).index.entries
    never_sent.folder.cache_clear()


def test_contents_arrive_whole(project: Path) -> None:
    """Small files together, large ones alone, empty ones too; large packs stand beside."""
    files = {"a.txt": b"a", "sub/b.bin": os.urandom(50_000), "big.bin": os.urandom(1_500_000)}
    _write(project, {**files, "empty.txt": b""})
    along = gather.gather(project)
    assert _contents(along) == {**files, "empty.txt": b""} and len(along.packs) == 2
    carried, beside = along.carried(())
    assert (
        carried.beside == len(beside) == 3 and SentFolder.of(carried, beside).index == along.index
    )
    assert all(entry.mtime_ns == _OLD * 10**9 for entry in along.index.entries)


def test_unchanged_files_are_not_read_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed alone is; a file of the same size and time that was written anew, too."""
    _write(project, {f"{number}.txt": f"{number}" for number in range(5)})
    gather.gather(project)
    read: list[str] = []
    really = packs._read  # pyright: ignore[reportPrivateUsage]

    def noted(folder: Path, found: packs.Found, *rest: object) -> object:
        read.append(found.path)
        return really(folder, found, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(packs, "_read", noted)
    gather.gather(project)
    assert read == []
    _write(project, {"3.txt": "x"})
    assert _contents(gather.gather(project))["3.txt"] == b"x" and read == ["3.txt"]


def test_a_file_changed_just_now_is_read_again(project: Path) -> None:
    """Its time may not tell two changes apart."""
    path = project / "now.txt"
    path.write_text("one")
    about = path.stat()
    assert _contents(gather.gather(project)) == {"now.txt": b"one"}
    path.write_text("two")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert _contents(gather.gather(project)) == {"now.txt": b"two"}


def test_packs_do_not_grow(project: Path) -> None:
    """After many changes there are few packs, without much of the past in them."""
    _write(project, {f"{number}.bin": os.urandom(20_000) for number in range(10)})
    along, wanted = gather.gather(project), dict[str, bytes]()
    for turn in range(30):
        _write(project, {f"{turn % 10}.bin": os.urandom(20_001 + turn)})
        along = gather.gather(project)
        wanted = {path.name: path.read_bytes() for path in project.iterdir()}
        assert _contents(along) == wanted
    assert len(along.packs) <= 10
    assert sum(len(bytes(one)) for one in along.packs) < 3 * sum(map(len, wanted.values()))


def test_bounds(project: Path) -> None:
    """Of too many bytes, what the cell names goes first, then the small; of too many files, the
    nearer.
    """
    _write(project, {"big.bin": bytes(900), "mid.bin": bytes(500), "low.txt": bytes(100)})
    along = gather.gather(project, bounds=gather.Bounds(1000))
    assert set(_contents(along)) == {"mid.bin", "low.txt"} and along.too_large == ("big.bin",)
    along = gather.gather(project, bounds=gather.Bounds(1000), named="big.bin".__eq__)
    assert set(_contents(along)) == {"big.bin", "low.txt"} and along.too_large == ("mid.bin",)
    _write(project, {"sub/deep.txt": b"1"})
    along = gather.gather(project, bounds=gather.Bounds(1000, 2))
    assert set(_contents(along)) == {"big.bin", "low.txt"} and along.too_large == ()
    assert along.left == {"mid.bin": MANY, "sub": MANY}


def test_a_glob_passes_over_secrets(project: Path) -> None:
    """`--files` sends one by its whole name alone."""
    _write(project, {".env": "hush", "a.txt": "a", "my.pem": "hush"})
    off = gather.Bounds(automatic=False)
    along = gather.gather(project, ["*"], off)
    assert _contents(along) == {"a.txt": b"a"} and along.left[".env"] == SECRET
    assert _contents(gather.gather(project, ["my.pem"], off)) == {"my.pem": b"hush"}

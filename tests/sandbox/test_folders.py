"""The folder a child leaves: removed whole, and nothing but it,
whatever the child has made of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from running import run

from mecapy_worker.pool.scratch import Scratch, remove, removed_at_once
from mecapy_worker.shared import crash_line

SWAP = """
import os, shutil
root = str(outbox.parent)
shutil.rmtree(f'{root}/{swapped}')
os.symlink(aim, f'{root}/{swapped}')
result = root
"""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("swapped", ["home/matplotlib", "home", "outbox", "work", "tmp"])
async def test_a_link_in_its_place(pool, tmp_path, swapped):
    """A folder that a child replaced by a link leads its removal nowhere: what lies behind the link
    stays, and the child's folder goes.
    """
    before = _filled(tmp_path)
    root = Path((await run(pool, SWAP, swapped=swapped, aim=str(tmp_path))).result)
    await pool.cleaned()
    assert _files(tmp_path) == before
    assert root.name not in [path.name for path in _entries(root.parent)]


def _filled(folder: Path) -> list[Path]:
    """All that a worker knows by name in a child's folder, and one more."""
    for below in (folder, folder / "matplotlib"):
        below.mkdir(exist_ok=True)
        for name in ("mine", crash_line.NAME):
            (below / name).write_text("of another")
    return _files(folder)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def test_at_once(tmp_path):
    """What a child left untouched is removed at once, with the fonts it was given; any file more is
    left to the thorough way.
    """
    scratch = Scratch(tmp_path)
    for more in (None, "home/matplotlib/more", "home/more", "outbox/more", "more"):
        root = scratch.make("child-1", None)
        (root / "home/matplotlib/fontlist-v1.json").symlink_to("/nowhere")
        (root / "outbox" / crash_line.NAME).touch()
        if more:
            (root / more).touch()
        assert removed_at_once(root, ["fontlist-v1.json"]) == (more is None)
        assert not more or (root / more).exists()
        remove(root)
        assert not root.exists()
    scratch.close()

"""How `mecapy` imports its servers."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from mecapy_jupyter.commands.arguments import server_part


def test_no_garbage_is_collected_while_a_server_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection would search all that the import makes; afterwards they happen again."""
    (tmp_path / "heavy_server.py").write_text("import gc\ncollects = gc.isenabled()")
    monkeypatch.syspath_prepend(tmp_path)
    assert server_part("heavy_server").collects is False
    assert gc.isenabled()

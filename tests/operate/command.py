"""`mecapy …` as an operator runs it, with the settings of a deployment; in this process, because
starting another takes longer than most commands do.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mecapy_jupyter import cli


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def mecapy(*words: str, **settings: str) -> Done:
    """With these settings and no others; a setting's name is its field's: `database_url`."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("MECAPY_")}
    given = {f"MECAPY_{name.upper()}": value for name, value in settings.items()}
    out, err, mask = io.StringIO(), io.StringIO(), os.umask(0o022)
    try:
        with (
            patch.dict(os.environ, mine | given, clear=True),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = cli.main(list(words))
    finally:
        os.umask(mask)
    return Done(code, out.getvalue(), err.getvalue())


def where(settings: Any) -> dict[str, str]:
    """A deployment's places, for `mecapy`."""
    names = ("database_url", "redis_url", "blob_url", "s3_endpoint_url")
    return {name: getattr(settings, name) for name in names}


def everything(folder: Path) -> list[Path]:
    return [folder, *folder.rglob("*")]

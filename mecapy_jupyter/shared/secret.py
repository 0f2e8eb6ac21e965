"""A token as a text that does not show itself: in a traceback with the values of variables, in
`repr`, or inside a pickle; and files that hold some.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, SupportsIndex


class Secret(str):
    """The token's text, for requests; `repr` and pickle do not have it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise TypeError(
            "a MecaPy token does not travel and is not stored with other things; make a Client "
            "where it is needed"
        )


def write_private(path: Path, text: str) -> None:
    """Replaces the whole file, which its user alone can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent)  # 0600
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(draft).replace(path)

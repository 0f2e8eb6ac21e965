"""The note that tells of the end of a map or a sweep: that of the task which ended it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mecapy_jupyter.block import notes
from mecapy_jupyter.shared import errors


def tell(notify: Callable[[Sequence[str]], None], targets: Sequence[str]) -> None:
    """`notify`: of that task. What fails is a remark, because the results are here already."""
    if not targets:
        return
    try:
        notify(targets)
    except errors.MecapyError as why:
        notes.say(f"nobody is told of the end: {why}")

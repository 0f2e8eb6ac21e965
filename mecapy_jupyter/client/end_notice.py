"""The note at the end of a map or a sweep: that of its last task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mecapy_jupyter.block import notes
from mecapy_jupyter.shared import errors


def tell(notify: Callable[[Sequence[str]], None], targets: Sequence[str]) -> None:
    """`notify`: of that task. A failure becomes a note, because the results are here already."""
    if not targets:
        return
    try:
        notify(targets)
    except errors.MecapyError as why:
        notes.say(f"the note about the end could not be sent: {why}")

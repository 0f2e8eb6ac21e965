"""When a waiting task starts: from the slots, from what runs in them, from how long the owner's
tasks take.
"""

from __future__ import annotations

import pytest

from mecapy_backend.api.start_estimate import reads_alike, starts_in_s
from mecapy_jupyter.wire import QueuedEvent

ROWS = [
    (1, 2, [], 0.0),  # a free slot
    (1, 2, [3.0], 0.0),
    (1, 2, [3.0, 8.0], 2.0),  # the one that has run longest ends first
    (2, 2, [3.0, 8.0], 7.0),
    (3, 2, [3.0, 8.0], 12.0),  # a round later, in the slot that was free first
    (4, 2, [3.0, 8.0], 17.0),
    (1, 1, [25.0], 1.0),  # longer than usual: it may end any moment, or not
    (1, 1, [25.0, 5.0, 4.0], 1.0),  # more run than the workers that are heard of have slots
]


@pytest.mark.parametrize(("position", "slots", "elapsed_s", "seconds"), ROWS)
def test_starts_in(position: int, slots: int, elapsed_s: list[float], seconds: float) -> None:
    """Tasks that take 10 s each; some have run for a while."""
    assert starts_in_s(position, slots, 10.0, elapsed_s) == pytest.approx(seconds)


def test_only_news_is_told() -> None:
    """An estimate that counts down slowly is told in steps; another place at once."""
    at = QueuedEvent(3, 7, 61.0)
    assert reads_alike(at, QueuedEvent(3, 7, 59.0)) and reads_alike(QueuedEvent(), QueuedEvent())
    for news in (QueuedEvent(3, 7, 40.0), QueuedEvent(2, 7, 61.0), QueuedEvent(3, 6, 61.0)):
        assert not reads_alike(at, news)
    assert not reads_alike(QueuedEvent(), QueuedEvent(1, 1))

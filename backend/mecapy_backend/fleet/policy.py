"""The constants of scaling, all in one place. `mecapy fleet simulate` shows what each does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """`target_wait_s`: queued work is to be served within this time. `votes`: looks in a row that
    find too many machines before one goes. `headroom`: slots kept beyond those that are busy, as a
    share of them. `leave`: of the machines too many, this share goes at a time, at least one.
    `paid_margin_s`: a machine billed by the hour goes only so shortly before its paid hour ends.
    `look_s`: between two looks. `late`: a machine that has not called home after its boot time
    this often is replaced. `pressed`: where tasks waited at so many looks in a row, there are half
    as many more, however short those tasks are; 0: only by the work that waits.
    """

    target_wait_s: float = 60.0
    votes: int = 12
    headroom: float = 0.25
    leave: float = 0.25
    paid_margin_s: float = 240.0
    look_s: float = 5.0
    late: float = 3.0
    pressed: int = 0


POLICY = Policy()

ONE_MACHINE = Policy(target_wait_s=5.0, votes=15, headroom=0.0, leave=1.0, look_s=2.0, pressed=3)
"""The policy of an embedded stack: its workers cost memory alone, start in seconds, and are no
reserve.
"""

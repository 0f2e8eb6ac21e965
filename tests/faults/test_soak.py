"""A short soak with a fixed seed (`make long`), and that its verdict would have seen what went
wrong. For hours: `make soak MINUTES=…`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from . import verdict
from .customers import at_work
from .soak import soak
from .stack import Stack

SECONDS = 20


@pytest.mark.long
def test_soak() -> None:
    """Gateways, workers, zygotes, children, Redis and PostgreSQL are killed at random: no task is
    lost, doubled, wrong or left behind.
    """
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        report = soak(Path(folder), "20", SECONDS, workers=2, faults=5)
    print(report)
    assert report.verdict.good, str(report)
    assert sum(report.kills.values()) >= 5 and len(report.ledger.orders) >= 20, str(report)


@pytest.mark.long
def test_verdict_sees(stack: Stack) -> None:
    """A lost row, a second end, a row that nobody ordered,
    a result that is another: each is named.
    """
    ledger = at_work(stack, "8", most=42, calm=True)
    ledger_ids = [
        task_id for task_id, order in ledger.orders.items() if order.kind in ("value", "inputs")
    ]
    assert verdict.of(stack, ledger, "8").good
    lost, doubled, wrong = ledger_ids[:3]
    stack.sql("DELETE FROM tasks WHERE id = $1", lost)
    stack.sql("UPDATE tasks SET state = 'failed', attempt = attempt + 1 WHERE id = $1", doubled)
    stray = stack.submit("1", 1)
    stack.final(stray)
    stack.sql(
        "ALTER TABLE tasks DISABLE TRIGGER note; UPDATE tasks SET outcome = '{\"result\": -1}' "
        "WHERE id = '" + wrong + "'; ALTER TABLE tasks ENABLE TRIGGER note;"
    )
    found = verdict.of(stack, ledger, "8")
    assert [one.split()[0] for one in found.lost] == [lost]
    assert [one.split()[0] for one in found.doubled] == [stray.id, doubled]
    assert wrong in [one.split()[0] for one in found.wrong]

"""How many tasks an owner had in a month, and how long they waited: what stays when rows go.

Whatever deletes tasks names what it takes from them `gone`, with the columns `GONE`, and adds the
statements `TALLIED`, so that nothing is counted twice or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Final

_GROWTH: Final = 1.02  # of a bucket's bounds over those of the one before: waits are within 1 %

WAIT_BUCKET: Final = f"""CASE WHEN started_at IS NOT NULL
    AND coalesce(request->>'needs', '{{}}') = '{{}}'
    THEN ceil(ln(greatest(0.001, extract(epoch FROM
      coalesce((earlier->0->>'started_at')::timestamptz, started_at) - created_at
    )::float8)) / ln({_GROWTH}::float8))::int END"""
"""The bucket of a task's wait until its first start. NULL: it never started, or waited for its
parents. Its request says so even when they are deleted.
"""

GONE: Final = f"""owner,
    CASE WHEN completed_at IS NULL THEN 'cancelled' ELSE state END AS state,
    date_trunc('month', coalesce(completed_at, now()) AT TIME ZONE 'UTC')::date AS month,
    {WAIT_BUCKET} AS bucket"""

TALLIED: Final = """counted AS (
      INSERT INTO counts (owner, month, state, tasks)
      SELECT owner, month, state, count(*) FROM gone
      GROUP BY owner, month, state ORDER BY owner, month, state
      ON CONFLICT (owner, month, state) DO UPDATE SET tasks = counts.tasks + excluded.tasks
    ), waited AS (
      INSERT INTO waits (owner, month, bucket, tasks)
      SELECT owner, month, bucket, count(*) FROM gone WHERE bucket IS NOT NULL
      GROUP BY owner, month, bucket ORDER BY owner, month, bucket
      ON CONFLICT (owner, month, bucket) DO UPDATE SET tasks = waits.tasks + excluded.tasks
    )"""


def quantile_s(waits: Mapping[int, int], part: float) -> float:
    """The wait that `part` of the tasks do not exceed, from their number by bucket."""
    left = ceil(part * sum(waits.values()))
    for bucket, tasks in sorted(waits.items()):
        left -= tasks
        if left <= 0:
            return 2 * _GROWTH**bucket / (1 + _GROWTH)
    return 0.0

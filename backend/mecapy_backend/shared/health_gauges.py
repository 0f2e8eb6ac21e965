"""A health report as Prometheus gauges, for gateway and worker alike."""

from __future__ import annotations

import math

from prometheus_client import Gauge

from mecapy_backend.shared.health import HealthReport

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def set_health_gauges(report: HealthReport, up: Gauge, ready: Gauge, clock_s: Gauge) -> None:
    for check in report.checks:
        up.labels(check.name).set(check.ok)
    ready.set(report.ready)
    for name, ahead_s in report.clock_ahead_s.items():
        clock_s.labels(_LABELS.get(name, name)).set(math.nan if ahead_s is None else ahead_s)


_LABELS = {"PostgreSQL": "postgres", "Redis": "redis"}

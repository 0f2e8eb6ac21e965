"""The Prometheus metrics of a worker. They may cost a task microseconds, but never an await."""

from __future__ import annotations

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from mecapy_backend.shared import telemetry
from mecapy_backend.shared.health import HealthReport
from mecapy_backend.shared.health_gauges import set_health_gauges
from mecapy_jupyter import wire
from mecapy_worker.pool.pool import Pool

WORKER = CollectorRegistry()
ProcessCollector(registry=WORKER)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"mecapy_worker_{name}", text, labels, registry=WORKER)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"mecapy_worker_{name}", text, labels, registry=WORKER)


_OURS = ("worker_lost", "storage", "protocol")
"""The kinds of error that `service_levels.yml` counts as the pool's."""
ended = _counter(
    "tasks_total",
    "Finished tasks, by state and kind of error",
    "state",
    "kind",
)
# `increase` misses the first event of a series that begins with it.
for _ended in (("completed", ""), *(("failed", kind) for kind in _OURS)):
    ended.labels(*_ended)


def count_end(outcome: wire.Outcome) -> str:
    """The kind of its error, or ""."""
    kind = outcome.error.kind if outcome.error else ""
    ended.labels(outcome.state, kind).inc()
    return kind


given_back = _counter(
    "given_back_total", "Attempts that went back into the queue: retries, and a worker that stops"
)
leases_lost = _counter(
    "leases_lost_total", "Attempts that ended after their task was given to another worker"
)
recovered = _counter(
    "recovered_total",
    "Repairs: requeued or ended after a lost worker, enqueued after a loss in Redis",
    "what",
)
recovered.labels("requeued")
waits = _counter(
    "waits_total", "Calls repeated because PostgreSQL or Redis was unavailable", "what"
)
output_bytes = _counter("output_bytes_total", "Output of tasks")
input_bytes = _counter("input_bytes_total", "Inputs of tasks")
connections = _counter(
    "connections_total", "Connections that tasks requested: allowed, refused", "answer"
)
stored_bytes = _counter("stored_bytes_total", "Results and logs written to the object store")
renewed = _gauge("lease_renewed_timestamp_seconds", "Time of the last renewal of the leases")

STAGES = ("queue", "start", "inputs", "child", "run", "result", "record")
_stage_s = Histogram(
    "mecapy_worker_stage_seconds",
    "Time of a task in each stage: " + ", ".join(STAGES), ("stage",), registry=WORKER,
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600),
)  # fmt: skip
stage_s = {stage: _stage_s.labels(stage) for stage in STAGES}

children_cpu_s = _counter("children_cpu_seconds_total", "CPU time of tasks, counted while they run")
_children_memory = _gauge("children_memory_bytes", "Memory of the tasks that run now")
_memory_limit = _gauge("memory_limit_bytes", "Memory one task may use")
_children = _gauge("children", "Child processes: spare, busy", "state")
_factory = _gauge("children_born", "Children created since the start")
_failing = _gauge("children_failing", "Consecutive failures to create a child")
_zygotes = _gauge("zygote_restarts", "Restarts of the zygote, from which children are forked")
_slots = _gauge("slots", "Tasks this worker can run at once")
_ready = _gauge("ready", "1 if /readyz is 200")
_up = _gauge("part_up", "1 or 0 for each part of /readyz", "part")
_clock_s = _gauge("clock_ahead_seconds", "How far this host's clock is ahead of another's", "of")


def waited(task_id: str, seconds: float) -> None:
    """Record how long it waited in the queue."""
    stage_s["queue"].observe(seconds)
    now_ns = time.time_ns()
    telemetry.record(task_id, telemetry.Span("queue", now_ns - int(seconds * 1e9), now_ns))


class StageTimer:
    """One task's way through the stages: each stage ends where the next begins."""

    __slots__ = ("_at", "_trace")

    def __init__(self) -> None:
        self._at = time.perf_counter()
        self._trace = telemetry.stopwatch()

    def stage(self, stage: str) -> None:
        now = time.perf_counter()
        stage_s[stage].observe(now - self._at)
        self._at = now
        if self._trace:
            self._trace.stage(stage)

    def trace(self, task_id: str, attempt: int, worker: str) -> None:
        """Record the stages as spans below the task's submission."""
        if self._trace:
            self._trace.record(task_id, f"attempt {attempt}", {"worker": worker, "task": task_id})


def exposition(pool: Pool, slots: int, found: HealthReport) -> bytes:
    """All of it as text."""
    for state, number in (("spare", pool.spare), ("busy", pool.busy)):
        _children.labels(state).set(number)
    for gauge, value in (
        (_factory, pool.children_started),
        (_failing, pool.failing),
        (_zygotes, pool.zygote_restarts),
        (_slots, slots),
        (_children_memory, pool.memory_bytes),
        (_memory_limit, pool.options.memory_bytes),
    ):
        gauge.set(value)
    set_health_gauges(found, _up, _ready, _clock_s)
    return generate_latest(WORKER)

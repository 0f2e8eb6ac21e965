"""What the gateway counts, and how `/metrics` says it (Prometheus). docs/operating.md explains
every one; a test holds it to that.

Counters are moved where things happen; the gauges are set by `exposition` when somebody asks.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)

GATEWAY = CollectorRegistry()
ProcessCollector(registry=GATEWAY)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=GATEWAY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=GATEWAY)


# By route, never by address: an address holds ids, and each would be a series of its own.
answers = _counter(
    "mecapy_http_answers_total", "Answers, by route and status", "method", "route", "status"
)
answer_s = Histogram(
    "mecapy_http_answer_seconds", "From a request to the first byte of its "
                                  "answer", ("route",), registry=GATEWAY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
received_bytes = _counter("mecapy_http_received_bytes_total", "Bodies of requests", "route")
sent_bytes = _counter(
    "mecapy_http_sent_bytes_total", "Bodies of answers, event streams included", "route"
)
problems = _counter(
    "mecapy_problems_total", "Requests that were refused or failed, by the problem's type", "type"
)
submitted = _counter("mecapy_tasks_submitted_total", "Tasks that were accepted")
cancelled = _counter(
    "mecapy_tasks_cancelled_waiting_total", "Tasks that were cancelled before a worker had them"
)
streams = _gauge("mecapy_event_streams", "Event streams that are open now")

queue_depth = _gauge("mecapy_queue_depth", "Tasks that wait for a worker")
queue_age_s = _gauge(
    "mecapy_queue_oldest_seconds", "For how long the oldest waiting task has existed"
)
running = _gauge("mecapy_tasks_running", "Tasks that run now")
overdue = _gauge(
    "mecapy_leases_overdue", "Running tasks whose worker let its lease run out, not yet taken back"
)
workers = _gauge("mecapy_workers", "Workers heard of lately")
slots = _gauge("mecapy_worker_slots_all", "Tasks that all those workers can run at once")
up = _gauge("mecapy_part_up", "1: the gateway can use it; 0: see /readyz", "part")
clock_s = _gauge(
    "mecapy_clock_ahead_seconds", "How far this host's clock is ahead of another's", "of"
)
free = _gauge("mecapy_store_free_bytes", "Free space of an object store that is a directory")
ready = _gauge("mecapy_ready", "1: /readyz says ok")

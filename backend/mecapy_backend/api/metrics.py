"""The Prometheus metrics of the gateway.

Counters change where things happen; `exposition` sets the gauges when `/metrics` is read.
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


# By route and not by address, because each id in an address would be a series.
answers = _counter(
    "mecapy_http_answers_total", "Answers by method, route and status", "method", "route", "status"
)
answer_s = Histogram(
    "mecapy_http_answer_seconds", "Time to the first byte of an answer, by "
                                  "route", ("route",), registry=GATEWAY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)  # fmt: skip
received_bytes = _counter("mecapy_http_received_bytes_total", "Request bodies by route", "route")
sent_bytes = _counter(
    "mecapy_http_sent_bytes_total", "Response bodies by route, event streams included", "route"
)
problems = _counter(
    "mecapy_problems_total", "Refused and failed requests, by type of problem", "type"
)
# so that the series exists before its first event, which `increase` would miss
for _alarming in ("unexpected", "queue-full"):
    problems.labels(_alarming)
database_exhausted = _counter(
    "mecapy_database_exhausted_total",
    "Requests refused because no connection to PostgreSQL became free in time",
)
submitted = _counter("mecapy_tasks_submitted_total", "Accepted tasks")
cancelled = _counter(
    "mecapy_tasks_cancelled_waiting_total", "Tasks cancelled before a worker took them"
)
streams = _gauge("mecapy_event_streams", "Open event streams")

_LANE = ("machine_class", "length")
queue_depth = _gauge("mecapy_queue_depth", "Waiting tasks")
queue_age_s = _gauge("mecapy_queue_oldest_seconds", "Age of the oldest waiting task")
lane_depth = _gauge("mecapy_lane_depth", "Waiting tasks by class and length", *_LANE)
lane_age_s = _gauge("mecapy_lane_oldest_seconds", "Age of the oldest of those", *_LANE)
running = _gauge("mecapy_tasks_running", "Running tasks")
overdue = _gauge("mecapy_leases_overdue", "Running tasks whose lease has expired, not yet requeued")
workers = _gauge("mecapy_workers", "Workers seen in the last 10 s")
workers_lost = _gauge("mecapy_workers_lost", "Workers that vanished within the last hour")
slots = _gauge("mecapy_worker_slots_all", "Slots of those workers")
up = _gauge("mecapy_part_up", "1 or 0 for each part of /readyz", "part")
clock_s = _gauge(
    "mecapy_clock_ahead_seconds", "How far this host's clock is ahead of another's", "of"
)
free = _gauge("mecapy_store_free_bytes", "Free space, if the object store is a directory")
connections = _gauge("mecapy_database_connections", "Connections to PostgreSQL, of all programs")
max_connections = _gauge("mecapy_database_connections_max", "How many it allows")
ready = _gauge("mecapy_ready", "1 if /readyz is 200")
spend_euros = _gauge("mecapy_fleet_spend_euros", "Euros for machines since midnight (UTC)")
budget_euros = _gauge(
    "mecapy_fleet_budget_euros", "The budget of a day, beyond which no machine starts; 0: any"
)
machines = _gauge(
    "mecapy_fleet_machines", "Machines of the fleet by class and state", "machine_class", "state"
)
machines_min = _gauge(
    "mecapy_fleet_machines_min", "How many should serve at least", "machine_class"
)
machines_overdue = _gauge(
    "mecapy_fleet_machines_overdue", "Machines 15 minutes older than `hours`", "machine_class"
)

"""The Grafana dashboard as code: `python deploy/monitoring/dashboard.py` writes `dashboard.json`,
which is what Grafana takes. Needs `grafana-foundation-sdk` (in the extra `dev`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
FILE = Path(__file__).with_name("dashboard.json")
BY_CLASS, BY_LANE = "max by (machine_class", "max by (machine_class, length)"
ANSWER = "mecapy_http_answer_seconds_bucket"
REPAIRED = "sum by (what) (increase(mecapy_worker_recovered_total[5m]))"
WORKER = '{job="mecapy-worker"}'
OWN_CPU = f"process_cpu_seconds_total{WORKER}"
STAGE = "mecapy_worker_stage_seconds_bucket"
LIMIT = "mecapy_worker_memory_limit_bytes * mecapy_worker_slots"


@dataclass(frozen=True, slots=True)
class Panel:
    """`lines`: expressions by legend."""

    title: str
    unit: str
    lines: Mapping[str, str]
    about: str = ""


def quantiles(metric: str, by: str = "", legend: str = "") -> dict[str, str]:
    """Of a histogram."""
    rate = f"sum by (le{by}) (rate({metric}[$__rate_interval]))"
    return {
        f"{name} {legend}".strip(): f"histogram_quantile({share}, {rate})"
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }


def rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))"


ROWS: Mapping[str, Sequence[Panel]] = {
    "Tasks": (
        Panel(
            "Waiting", "short", {"{{machine_class}}, {{length}}": f"{BY_LANE} (mecapy_lane_depth)"}
        ),
        Panel(
            "Oldest wait",
            "s",
            {"{{machine_class}}, {{length}}": f"{BY_LANE} (mecapy_lane_oldest_seconds)"},
        ),
        Panel("Wait of those that started", "s", quantiles(f'{STAGE}{{stage="queue"}}')),
        Panel(
            "Ended a second",
            "ops",
            {"{{state}} {{kind}}": rate("mecapy_worker_tasks_total", "state, kind")},
        ),
        Panel("Run time", "s", quantiles(f'{STAGE}{{stage="run"}}')),
        Panel(
            "Running and waiting",
            "short",
            {"running": "max(mecapy_tasks_running)", "waiting": "max(mecapy_queue_depth)"},
        ),
    ),
    "Workers": (
        Panel(
            "Workers and slots",
            "short",
            {
                "workers": "max(mecapy_workers)",
                "slots": "max(mecapy_worker_slots_all)",
                "lost in an hour": "max(mecapy_workers_lost)",
            },
        ),
        Panel(
            "CPU of tasks",
            "short",
            {"{{instance}}": rate("mecapy_worker_children_cpu_seconds_total", "instance")},
            "In cores.",
        ),
        Panel(
            "Memory of tasks",
            "bytes",
            {
                "{{instance}}": "sum by (instance) (mecapy_worker_children_memory_bytes)",
                "limit of {{instance}}": f"sum by (instance) ({LIMIT})",
            },
        ),
        Panel(
            "CPU and memory of the workers themselves",
            "short",
            {
                "cores of {{instance}}": f"rate({OWN_CPU}[$__rate_interval])",
                "GB of {{instance}}": f"process_resident_memory_bytes{WORKER} / 1e9",
            },
        ),
        Panel(
            "Leases",
            "short",
            {
                "overdue": "max(mecapy_leases_overdue)",
                "lost in 5 min": "sum(increase(mecapy_worker_leases_lost_total[5m]))",
                "{{what}} in 5 min": REPAIRED,
            },
        ),
        Panel(
            "Processes of tasks", "short", {"{{state}}": "sum by (state) (mecapy_worker_children)"}
        ),
    ),
    "Fleet": (
        Panel(
            "Machines",
            "short",
            {
                "{{machine_class}} {{state}}": f"{BY_CLASS}, state) (mecapy_fleet_machines)",
                "{{machine_class}} overdue": f"{BY_CLASS}) (mecapy_fleet_machines_overdue)",
            },
        ),
        Panel(
            "Cost today",
            "currencyEUR",
            {
                "spent": "max(mecapy_fleet_spend_euros)",
                "budget": "max(mecapy_fleet_budget_euros)",
            },
        ),
    ),
    "Gateway": (
        Panel(
            "Answers a second", "ops", {"{{status}}": rate("mecapy_http_answers_total", "status")}
        ),
        Panel("Latency", "s", quantiles(ANSWER, ", route", "{{route}}")),
        Panel("Refused and failed", "ops", {"{{type}}": rate("mecapy_problems_total", "type")}),
        Panel(
            "Event streams", "short", {"{{instance}}": "sum by (instance) (mecapy_event_streams)"}
        ),
    ),
    "Parts": (
        Panel("Usable", "bool", {"{{part}}": "min by (part) (mecapy_part_up)"}),
        Panel(
            "Connections to PostgreSQL",
            "short",
            {
                "in use": "max(mecapy_database_connections)",
                "allowed": "max(mecapy_database_connections_max)",
            },
        ),
        Panel("Object store", "bytes", {"free, of a directory": "min(mecapy_store_free_bytes)"}),
        Panel(
            "Written to the store",
            "Bps",
            {"{{instance}}": rate("mecapy_worker_stored_bytes_total", "instance")},
        ),
    ),
    "Service levels": (
        Panel(
            "Left of the error budget of 30 days",
            "percentunit",
            {"{{slo}}": "mecapy:slo_budget_left:ratio"},
        ),
        Panel(
            "Events that miss the objective",
            "percentunit",
            {"{{slo}}": "mecapy:slo_errors:ratio_5m"},
        ),
    ),
}


def panel(about: Panel) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .title(about.title)
        .description(about.about)
        .datasource(SOURCE)
        .unit(about.unit)
        .min(0)
        .height(8)
        .span(8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )
    for number, (legend, expr) in enumerate(about.lines.items()):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id("ABCDEF"[number])
        made = made.with_target(query)
    return made


def made() -> str:
    """The dashboard's JSON."""
    board = (
        dashboard.Dashboard("MecaPy")
        .uid("mecapy")
        .tags(["mecapy"])
        .readonly()
        .refresh("30s")
        .time("now-6h", "now")
        .with_variable(dashboard.DatasourceVariable("source").label("Source").type("prometheus"))
    )
    for title, panels in ROWS.items():
        board = board.with_row(dashboard.Row(title))
        for about in panels:
            board = board.with_panel(panel(about))
    return JSONEncoder(sort_keys=True, indent=1).encode(board.build()) + "\n"


if __name__ == "__main__":
    FILE.write_text(made())

"""The files for Prometheus and Alertmanager, tried by their own tools; `test_pages` runs them."""

from __future__ import annotations

import re
import subprocess

from prometheus_client import generate_latest

from mecapy_backend.api.metrics import GATEWAY
from mecapy_worker.metrics import WORKER

from ..house.tracked import ROOT
from .conftest import program
from .watch import MONITORING

RULES = ("alerts", "service_levels")
TEXT = "\n".join((MONITORING / f"{name}.yml").read_text() for name in RULES)
CASES = "\n".join((MONITORING / f"{name}.test.yml").read_text() for name in RULES)
ACTIONS = ROOT / "docs" / "alerts.md"


def tried(tool: str, *words: str) -> None:
    done = subprocess.run(
        (program(tool), *words),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=MONITORING,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_name_figures_there_are() -> None:
    """Each figure in a rule is one that a gateway or a worker has."""
    there = {
        f"{family.name}{end}"
        for registry in (GATEWAY, WORKER)
        for family in registry.collect()
        for end in ("", "_total", "_bucket", "_count")
    }
    rules = re.findall(r"(?m)^ +expr: (.*)$", TEXT)
    named = {name for rule in rules for name in re.findall(r"\bmecapy_\w+", rule)}
    assert len(named) > 10 and named - there == set()


def test_each_alert_has_a_case() -> None:
    """No alert is without a case that fires it."""
    alerts = set(re.findall(r"alert: (\w+)", TEXT))
    assert alerts == set(re.findall(r'alertname="(\w+)"', CASES))


def test_each_alert_says_what_to_do() -> None:
    """Each links to a paragraph of its own, and no paragraph is without its alert."""
    alerts = re.findall(r"alert: (\w+)", TEXT)
    links = re.findall(r"runbook_url: (.+)", TEXT)
    assert links == [f"docs/alerts.md#{alert.lower()}" for alert in alerts]
    assert sorted(alerts) == sorted(re.findall(r"(?m)^## (Mecapy\w+)$", ACTIONS.read_text()))


def test_what_is_counted_from_the_first_event() -> None:
    """A counter that a rule looks for by label is there before its first event, which `increase`
    and `rate` would miss.
    """
    text = (generate_latest(GATEWAY) + generate_latest(WORKER)).decode()
    looked_for = re.findall(r'(mecapy_\w+_total)\{(\w+)=~?"([^"]+)"\}', TEXT)
    assert len(looked_for) >= 4
    for name, label, values in looked_for:
        for value in values.split("|"):
            assert re.search(rf'{name}\{{[^}}]*{label}="{value}"', text), (name, label, value)


def test_groups_are_small() -> None:
    """Hosted services take at most 20 rules a group."""
    for group in re.split(r"(?m)^  - name: ", TEXT)[1:]:
        assert 0 < group.count("expr:") <= 20


def test_cases() -> None:
    """A quiet deployment fires no alert, what each is for fires it, and objectives add up."""
    for name in RULES:
        tried("promtool", "check", "rules", f"{name}.yml")
        tried("promtool", "test", "rules", f"{name}.test.yml")


def test_examples() -> None:
    """Prometheus and Alertmanager take their examples."""
    tried("promtool", "check", "config", "--syntax-only", "prometheus.yml")
    tried("amtool", "check-config", "alertmanager.yml")

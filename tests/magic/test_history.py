"""The history of a cell: durations and the last task, in small files of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mecapy_jupyter.cells import history, submitter


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _state_in(tmp_path / "state", monkeypatch)


def _state_in(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(place))
    return place / "mecapy"


def test_the_last_five_runs() -> None:
    """The expectation is their median; older runs are forgotten."""
    key = history.key_of("x = 1")
    assert history.expected_s(key) is None and history.said(history.runs(key)) == ""
    for seconds in (900, 200, 210, 220, 230, 240):
        history.record(key, seconds)
    assert history.runs(key) == [200, 210, 220, 230, 240]
    assert history.expected_s(key) == 220
    assert history.said(history.runs(key)) == "last 5 runs 3:40 ± 0:14"
    assert (
        history.said([0.42, 0.44]) == "last 2 runs 0.4 s ± 0.0 s"
        and history.said([65.0]) == "last run 1:05"
    )


def test_one_cell_is_one_key() -> None:
    """Blanks at the ends of lines do not count; the text and the place do."""
    assert history.key_of("a = 1  \nb\n") == history.key_of("a = 1\nb")
    assert len({history.key_of("a"), history.key_of("b"), history.key_of("a", "one.ipynb")}) == 3


def test_files_stay_small(state: Path) -> None:
    """Whatever runs a thousand times leaves a few lines; very many cells lose the oldest."""
    for _ in range(200):
        history.record("k", 1.0)
    assert len((state / "seconds" / "k").read_text().splitlines()) <= 41
    for number in range(2100):
        (state / "seconds" / f"old{number}").touch()
    history.record("new", 2.0)
    assert len(list((state / "seconds").iterdir())) < 1100 and history.runs("new") == [2.0]


def test_the_task_that_may_still_run() -> None:
    """Forgotten when it ends; the end of an older one changes nothing."""
    history.submitted("k", "one")
    history.submitted("k", "two")
    history.ended("k", "one")
    assert history.last_task("k") == "two"
    history.ended("k", "two")
    assert history.last_task("k") == ""


def test_who_submitted_it() -> None:
    """A process that lives, one that is gone, another machine's, and a line without a mark; plain
    inputs are compared.
    """
    history.submitted("k", "one", by=submitter.mark({"a": 1, "b": np.arange(3)}))
    mark = history.submitter("k", "one")
    assert history.last_task("k") == "one" and history.submitter("k", "two") == ""
    host, boot, pid, born, told = mark.split()
    for line in (mark, "", f"{host} {boot} x y z"):
        assert not submitter.gone(line)
    assert submitter.gone(f"{host} {boot} {pid} 1.0 {told}") and submitter.gone(
        f"{host} another {pid} {born} {told}"
    )
    assert not submitter.gone(f"elsewhere {boot} {pid} 1.0 {told}")
    assert submitter.same_inputs(mark, {"b": np.arange(3), "a": 1})
    for other in (
        {"a": 2, "b": np.arange(3)},
        {"a": 1, "b": np.arange(4)},
        {"a": 1},
        {"a": 1.0, "b": np.arange(3)},
    ):
        assert not submitter.same_inputs(mark, other)


def test_nowhere_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory that cannot be used costs the history, nothing else."""
    _state_in(Path("/dev/null"), monkeypatch)
    history.record("k", 1.0)
    history.submitted("k", "one")
    history.ended("k", "one")
    assert history.runs("k") == [] and history.last_task("k") == ""

"""`mecapy deploy workers`: what it says, and what it leaves in the file of classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mecapy_backend.deploy import workers
from mecapy_backend.deploy.workers import WantedWorkers
from mecapy_jupyter.shared.errors import ConfigError

FILE = """# ours
budget = 5

[pool]
cpus = 3
memory = "3GB"
provider = "scaleway-vm"
types = ["DEV1-M", "DEV1-L"]
zones = ["fr-par-1", "fr-par-2"]
image = "mecapy-worker:1"
price_per_hour = 0.027    # with its address and its volume
billing = "hour"
min = 1
max = 10
boot_s = 180

[gpu]
provider = "scaleway-vm"
gpu = "L4"
types = ["L4-1-24G"]
zones = ["fr-par-2"]
image = "mecapy-worker:1"
price_per_hour = 0.79
max = 1

[large]
provider = "local"
max = 2
"""
GOLDEN = """pool on scaleway-vm: always 3 machines, and up to 10 while tasks wait
each: DEV1-M or DEV1-L in fr-par-1 or fr-par-2, 3 CPUs, 3 GB, takes tasks ~180 s after it is asked \
for, paid by the hour
cost: €0.027 an hour for each; a month €59.13 for what always runs, €197.10 if 10 ran all the time
budget: €5 a day; what always runs takes €1.94 of it
nothing was written (--dry-run)
"""
GOLDEN_GPU = """gpu on scaleway-vm: always 1 machine
each: L4-1-24G in fr-par-2, GPU L4, takes tasks ~60 s after it is asked for, paid by the second
cost: €0.79 an hour for each; a month €576.70 for what always runs
budget: €5 a day; what always runs takes €19.61 of it
it is spent before the day ends, and no machine starts then: raise it
nothing was written (--dry-run)
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "machines.toml"
    monkeypatch.setenv("MECAPY_MACHINES", str(made))
    return made


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (WantedWorkers(3, "scaleway-vm", "pool"), GOLDEN),
        (WantedWorkers(1, "scaleway-vm", "gpu"), GOLDEN_GPU),
    ],
)
def test_dry_run(
    path: Path, capsys: pytest.CaptureFixture[str], wanted: WantedWorkers, says: str
) -> None:
    """Machines and euros a month, and the file stays as it is."""
    path.write_text(FILE)
    assert workers.deploy(wanted, dry_run=True) == 0
    assert capsys.readouterr().out == says
    assert path.read_text() == FILE


def test_twice_is_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only `min` and `max` of that class change, and nothing the second time."""
    path.write_text(FILE)
    path.chmod(0o640)
    wanted = WantedWorkers(12, "scaleway-vm", "pool")
    workers.deploy(wanted, dry_run=False)
    expected = FILE.replace("min = 1\nmax = 10", "min = 12\nmax = 12")
    assert path.read_text() == expected and path.stat().st_mode & 0o777 == 0o640
    workers.deploy(wanted, dry_run=False)
    assert path.read_text() == expected
    assert capsys.readouterr().out.endswith("needs no change\n")


def test_the_first(path: Path) -> None:
    """Where there is no file, it is made, with the cheapest class; `max` is for what waits."""
    wanted = WantedWorkers(0, "scaleway-vm", most=10, image="rg.example/mecapy-worker:1")
    workers.deploy(wanted, dry_run=False)
    name, text = workers.changed(path.read_text(), WantedWorkers(2, "scaleway-vm"), str(path))
    assert name == "pool" and 'types = ["DEV1-M", "DEV1-L"]' in text
    assert 'image = "rg.example/mecapy-worker:1"\nmin = 2\nmax = 10\n' in text


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (WantedWorkers(1, "scaleway-vm"), "several classes on scaleway-vm: add --class pool, gpu"),
        (WantedWorkers(1, "scaleway-vm", "huge"), "no class 'huge' on scaleway-vm, only pool, gpu"),
        (WantedWorkers(1, "slurm"), "the class pool is on scaleway-vm; name another by --class"),
        (WantedWorkers(1, "slurm", "hpc"), "no class with `provider = 'slurm'`: add one"),
        (WantedWorkers(3, "local", most=2), "`max` is 2 and `min` is 3; raise `max`"),
    ],
)
def test_what_is_wrong(path: Path, wanted: WantedWorkers, says: str) -> None:
    """Each is a sentence, and the file stays as it is."""
    path.write_text(FILE)
    with pytest.raises(ConfigError) as wrong:
        workers.deploy(wanted, dry_run=False)
    assert says in str(wrong.value)
    assert path.read_text() == FILE


def test_without_a_name_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that no setting names is not guessed; a cloud needs an image."""
    monkeypatch.delenv("MECAPY_MACHINES", raising=False)
    with pytest.raises(ConfigError, match="MECAPY_MACHINES is not set"):
        workers.deploy(WantedWorkers(1, "local"), dry_run=True)
    with pytest.raises(ConfigError, match="add --image"):
        workers.changed("", WantedWorkers(1, "scaleway-vm"), "machines.toml")

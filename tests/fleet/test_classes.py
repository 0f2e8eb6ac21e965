"""The file of machine classes, and a sentence for all that is wrong in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mecapy_backend.fleet import classes
from mecapy_backend.fleet.classes import MachineClass
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.units import byte_count


def test_a_file(tmp_path: Path) -> None:
    """`pool` comes first, wherever it stands; sizes are read as people write them."""
    path = tmp_path / "machines.toml"
    path.write_text(
        'budget = 5\n[large]\ncpus = 8\nmemory = "16GB"\nprovider = "local"\nmax = 2\n'
        "price_per_hour = 0.04\n"
        '[pool]\ncpus = 2\nmemory = "4 GB"\nprovider = "local"\nmin = 3\nmax = 10\n'
        'billing = "hour"\nboot_s = 20\n'
    )
    file = classes.read(str(path))
    pool, large = file.classes
    assert file.budget == 5
    assert pool == MachineClass(
        "pool", 2, 4 * 10**9, provider="local", min=3, max=10, billing="hour", boot_s=20
    )
    assert large == MachineClass("large", 8, 16 * 10**9, price=0.04, provider="local", max=2)
    assert large.on_demand and not pool.on_demand


def test_no_file_is_a_pool_by_hand() -> None:
    """Without a file, tasks go to the workers that somebody starts."""
    assert classes.read("").classes == (classes.POOL_BY_HAND,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[large]\nmemroy = 3", "did you mean `memory`?"),
        ('[large]\nmemory = "lots"', "'lots' is not a size; write 16GB, 512MB or 1.5GiB"),
        ('[large]\nprovider = "azure"', '`provider` is \'azure\'; it must be one of "", "local"'),
        ("[large]\nmin = 2\nmax = 1\nprovider = 'local'", "`max` is 1 and `min` is 2; raise `max`"),
        ("[large]\nmax = 1", "`max` needs a `provider`"),
        ("[large]\nprovider = 'local'", "`max` is 0, so none would ever start"),
        ("[large]\ncpus = true", "`cpus` is True; it must be a number from 0 on"),
        ("[large]\nmax = -1", "`max` is -1; it must be a whole number from 0 on"),
        ("budget = -1", "`budget` is -1; it must be a number from 0 on"),
        ("large = 3", "a class is a table; write `[large]` above its lines"),
        ("['Large One']\ncpus = 1", "a class is named by small letters, digits and `-`"),
        ("[large", "is no TOML"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, says: str) -> None:
    """Each names the file, the class and what to write."""
    path = tmp_path / "machines.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as wrong:
        classes.read(str(path))
    assert says in str(wrong.value) and str(path) in str(wrong.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match=r"MECAPY_MACHINES names .*No such file"):
        classes.read(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("text", "count"),
    [("16GB", 16 * 10**9), ("1.5 GiB", 3 * 2**29), ("512m", 512 * 10**6), (4000, 4000)],
)
def test_sizes(text: str | int, count: int) -> None:
    """Powers of 1000, and of 1024 where one writes an i."""
    assert byte_count(text) == count

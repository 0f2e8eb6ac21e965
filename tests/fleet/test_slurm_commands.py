"""The commands of docs/fleet.md, as an operator of a Slurm cluster types them, in their order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from mecapy_backend.shared.settings import Settings

from .. import weed
from ..conftest import TOKEN, served
from ..house.test_packaging import wheel  # noqa: F401  (a fixture)
from ..house.tracked import ROOT
from . import slurm_cluster

FILE_IS_THERE = 6
_NUMBER = re.compile(r"# +(\d+)\b")


def documented(heading: str) -> list[str]:
    """The numbered commands below that heading, each with its comment."""
    _, _, part = (ROOT / "docs/fleet.md").read_text().partition(f"\n## {heading}\n")
    block = part.split("```sh\n", 1)[1].split("```", 1)[0]
    found, begun = list[str](), ""
    for line in block.splitlines(keepends=True):
        begun += line
        if _NUMBER.search(begun) and begun.count("EOF") != 1:
            found.append(begun)
            begun = ""
    assert not begun
    return found


@pytest.mark.parametrize(("heading", "count"), [("On Slurm", 10), ("At Scaleway", 10)])
def test_numbers(heading: str, count: int) -> None:
    """No number is left out."""
    numbers = [int(found[1]) for one in documented(heading) for found in _NUMBER.finditer(one)]
    assert numbers == list(range(1, count + 1))


def filled(command: str, values: dict[str, str]) -> str:
    """With a value for each `NAME=…`; a name that nobody gives is a KeyError."""
    return re.sub(
        r"(\w+)=\S*…", lambda found: f"{found[1]}={shlex.quote(values[found[1]])}", command
    )


class Shell:
    """One bash, as on a login node."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash"], env=environment, cwd=environment["HOME"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def says(self, command: str) -> str:
        """What the command prints. It has to end well."""
        assert self._bash.stdin and self._bash.stdout
        self._bash.stdin.write(f"{command}\necho ended-with $?\n")
        self._bash.stdin.flush()
        said = ""
        for line in self._bash.stdout:
            if line.startswith("ended-with "):
                assert line == "ended-with 0\n", f"{command}\n{said}"
                return said
            said += line
        raise AssertionError(f"{command}\nended the shell: {said}")

    def close(self) -> None:
        self.says("kill $(jobs -p) 2>/dev/null; wait")
        self._bash.communicate("exit\n", timeout=60)


@contextmanager
def login_node(home: Path, config: Path, wheels: Path) -> Iterator[Shell]:
    """Nothing of this checkout is in it; pip finds the wheel as it would in an index."""
    cache = subprocess.run(["pip", "cache", "dir"], capture_output=True, text=True).stdout.strip()
    links = f"{wheels} {os.environ.get('PIP_FIND_LINKS', '')}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MECAPY_", "AWS_", "PYTHON", "VIRTUAL_ENV"))
    } | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "SLURM_CONF": str(config),
        "PIP_FIND_LINKS": links,
        "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
        "PIP_CACHE_DIR": cache,
        "MECAPY_SANDBOX": "best-effort",
    }
    shell = Shell(environment)
    try:
        yield shell
    finally:
        shell.close()


@pytest.mark.long
@pytest.mark.skipif(bool(slurm_cluster.missing()), reason=slurm_cluster.missing())
def test_ten_commands(
    wheel: Path,  # noqa: F811
    database_url: str,
    redis_url: str,
    s3_url: str,
    tmp_path: Path,
) -> None:
    """From nothing to the first task on a machine that Slurm started for it; no job is left."""
    with tempfile.TemporaryDirectory(prefix="mecapy-slurm-", dir="/run") as folder:
        home, cluster = Path(folder) / "home", Path(folder) / "slurm"
        home.mkdir(mode=0o711)
        cluster.mkdir()
        Path(folder).chmod(0o711)
        with (
            slurm_cluster.running(cluster, cpus=16, memory_mb=64_000) as config,
            login_node(home, config, wheel.parent) as shell,
        ):
            values = weed.KEYS | {
                "MECAPY_DATABASE_URL": database_url,
                "MECAPY_REDIS_URL": redis_url,
                "MECAPY_BLOB_URL": f"s3://blobs/{tmp_path.name}",
                "MECAPY_S3_ENDPOINT_URL": s3_url,
                "MECAPY_TOKEN": TOKEN,
            }
            commands = documented("On Slurm")
            for command in commands[:FILE_IS_THERE]:
                shell.says(filled(command, values))
            settings = Settings(
                database_url=database_url,
                redis_url=redis_url,
                blob_url=values["MECAPY_BLOB_URL"],
                s3_endpoint_url=s3_url,
                cache_dir=str(tmp_path / "cache"),
                token=SecretStr(TOKEN),
                machines=str(home / "machines.toml"),
            )
            with served(settings) as gateway:  # "the gateway needs the same file, and a restart"
                values["MECAPY_URL"] = gateway.url
                said = [shell.says(filled(one, values)) for one in commands[FILE_IS_THERE:]]
                try:
                    assert said[1].startswith("stack ")
                    assert said[-1] == "42\n"
                    machine = shell.says("squeue --noheader --format=%P")
                    assert machine == "work\n"
                finally:
                    shell.says("mecapy fleet stop")
            assert shell.says("squeue --noheader") == ""

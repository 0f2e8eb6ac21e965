"""Provider `slurm`: each machine is a job that runs a worker, submitted from a login node. Slurm
starts workers, never tasks. The job's name is the machine's tag.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.local import worker_settings
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_jupyter.shared.own_folder import own_folder
from mecapy_jupyter.shared.processes import mecapy_command

DRAIN_S = 120
"""How long before its time limit a job's worker gets SIGTERM, to requeue its tasks."""

_ANSWER_S = 30.0
_ENDINGS = (".sh", ".env")
_CANCELLED_S = 60.0
_LOOK_S = 0.25


class SlurmProvider:
    """`settings`: the worker's environment. It travels in a file that only its user can read, in
    `folder`, which login and compute nodes share; nothing of it stands in `scontrol` or `squeue`.
    """

    def __init__(
        self,
        settings: Mapping[str, str],
        folder: Path,
        command: Sequence[str] = (),
        drain_s: int = DRAIN_S,
    ) -> None:
        self._settings, self._drain_s = settings, drain_s
        self._folder = own_folder(folder, setting="HOME")
        self._command = tuple(command) or mecapy_command("worker")

    def start(self, tag: Tag, machine: MachineClass, token: str = "") -> str:
        script = self._written(tag, machine)
        return _asked(["sbatch", "--parsable", *self._options(tag, machine), str(script)])

    def stop(self, handle: str, tag: Tag) -> None:
        """What waits is cancelled; a worker that runs gets SIGTERM, and is killed if it goes on."""
        _asked(["scancel", "--me", "--state=PENDING", f"--name={tag}"])
        _asked(["scancel", "--me", "--signal=TERM", "--batch", f"--name={tag}"])
        until = time.monotonic() + _CANCELLED_S
        while tag.machine in self.list(tag.stack):
            if time.monotonic() > until - _CANCELLED_S / 2:
                _asked(["scancel", "--me", f"--name={tag}"])
            if time.monotonic() > until:
                break  # the next round asks again
            time.sleep(_LOOK_S)
        else:
            for ending in _ENDINGS:
                self._file(tag, ending).unlink(missing_ok=True)

    def list(self, stack: str) -> Mapping[str, str]:
        jobs = _asked(["squeue", "--me", "--noheader", "--format=%i %j"])
        found: dict[str, str] = {}
        for line in jobs.splitlines():
            job, _, name = line.strip().partition(" ")
            tag = Tag.of(name.strip())
            if tag and tag.stack == stack:
                found[tag.machine] = job
        return found

    def _options(self, tag: Tag, machine: MachineClass) -> list[str]:
        minutes = max(2 + self._drain_s // 60, round(machine.hours * 60))
        options = [
            f"--job-name={tag}",
            "--export=NONE",
            f"--signal=B:TERM@{self._drain_s}",
            f"--time={minutes}",
            "--no-requeue",
            "--ntasks=1",
            f"--output={self._folder / f'{tag}.log'}",
        ]
        if machine.partition:
            options.append(f"--partition={machine.partition}")
        if machine.cpus:
            options.append(f"--cpus-per-task={round(machine.cpus * machine.slots) or 1}")
        if machine.memory_bytes:
            options.append(f"--mem={-(-machine.memory_bytes * machine.slots // 2**20)}M")
        if machine.gpu:
            options.append(f"--gres=gpu:{machine.gpu}:{machine.slots}")
        return options

    def _written(self, tag: Tag, machine: MachineClass) -> Path:
        """The job's script, of which Slurm keeps a copy, and beside it the environment."""
        script, secrets = (self._file(tag, ending) for ending in _ENDINGS)
        settings = {**self._settings, **worker_settings(machine)}
        exported = [f"export {name}={shlex.quote(value)}" for name, value in settings.items()]
        _write(secrets, exported)
        words = [*self._command, "--hours", f"{machine.hours:g}", "--machine", str(tag)]
        # exec: the worker itself gets the signal
        _write(script, ["#!/bin/sh", f". {shlex.quote(str(secrets))}", f"exec {shlex.join(words)}"])
        return script

    def _file(self, tag: Tag, ending: str) -> Path:
        return self._folder / f"{tag}{ending}"


def _write(path: Path, lines: Sequence[str]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w") as opened:
        opened.write("\n".join(lines) + "\n")


def _asked(words: Sequence[str]) -> str:
    """What a command of Slurm answers. Raises ProviderRefused with what it says instead."""
    try:
        ran = subprocess.run(words, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except FileNotFoundError:
        raise ProviderRefused(
            f"there is no `{words[0]}` here: run `mecapy fleet` on a login node of the cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise ProviderRefused(f"`{words[0]}` does not answer within {_ANSWER_S:.0f} s") from None
    if ran.returncode:
        said = " ".join(ran.stderr.split()) or f"exit code {ran.returncode}"
        raise ProviderRefused(f"{words[0]}: {said[:300]}")
    return ran.stdout.strip()

"""What docs/alerts.md says to type when an alert fires, typed: its commands are read from the
page, and only what stands there in capitals is put in.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass

import httpx

from ..faults.processes import Process
from ..faults.stack import TOKEN, Stack
from ..house.tracked import ROOT
from .command import mecapy

PAGE = (ROOT / "docs" / "alerts.md").read_text()
UNTIL_STOPPED = frozenset({"mecapy worker", "mecapy fleet"})
_TYPED = re.compile(r"`((?:mecapy|curl|SELECT) [^`]+)`")


def commands(alert: str) -> list[str]:
    """The commands of the alert's paragraph, or of the whole page ("")."""
    part = re.split(rf"(?m)^## {alert}$", PAGE)[1].partition("\n## ")[0] if alert else PAGE
    typed = dict.fromkeys(" ".join(one.split()) for one in _TYPED.findall(part))
    return [one for one in typed if "…" not in one and one not in UNTIL_STOPPED]


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal, with the addresses and settings of this stack."""

    stack: Stack
    gateway: Process
    worker_url: str = ""

    def types(self, command: str) -> str:
        """What it prints. It succeeds; `mecapy doctor` may report what is broken."""
        places = {
            "ADDRESS": self.gateway.url,
            "WORKER": self.worker_url,
            "NAME": "ada",
            "NUMBER": "7",
        }
        for name, value in places.items():
            command = command.replace(name, value)
        if command.startswith("SELECT"):
            return "\n".join(str(dict(row)) for row in self.stack.sql(command))
        program, *words = shlex.split(command)
        if program == "curl":
            return self._curl(*words)
        done = mecapy(
            *words,
            url=self.gateway.url,
            token=TOKEN,
            database_url=self.stack.services.sql_url,
            redis_url=self.stack.services.valkey.url,
            blob_url=f"file://{self.stack.blobs}",
        )
        assert done.code == 0 or words == ["doctor"], (command, done)
        return done.out + done.err

    def _curl(self, *words: str) -> str:
        """Without the program, where it is missing."""
        try:
            done = subprocess.run(
                ("curl", "-sS", *words), capture_output=True, text=True, check=False, timeout=60
            )
        except FileNotFoundError:
            return httpx.get(words[-1], timeout=60).text
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def types_all(self, alert: str) -> str:
        """Everything that the alert's paragraph says to type."""
        found = commands(alert)
        assert found, f"{alert}: the page has no command"
        return "\n".join(self.types(one) for one in found)

"""What cloud-init does on a new virtual machine: it runs one container with one worker, and turns
the machine off when that ends. The only secret in it is a token that works once.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TypedDict
from urllib.parse import quote

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.provider import Tag

_FOLDER = "/run/mecapy"  # in memory: nothing of it is left on a volume
_SPARE_MINUTES = 30
METADATA = "169.254.42.42"
_METADATA_IPV6 = "fd00:42::42"

_START = """#!/bin/sh
# The last of three ends of a machine: it is off after its hours although nobody asks for that.
shutdown -P +{minutes}
curl --silent --max-time 10 --local-port 1-1023 --request DELETE \\
  http://{metadata}/user_data/cloud-init
ip route add blackhole {metadata}/32
ip -6 route add blackhole {metadata_ipv6}/128
if docker pull --quiet {image}; then
  docker run --rm --env-file {folder}/worker.env {gpus}{image} {command}
else
  curl --silent --max-time 30 --request POST --header @{folder}/header {failed}
fi
shutdown -P now
"""


class _WrittenFile(TypedDict):
    path: str
    permissions: str
    content: str


def cloud_config(
    tag: Tag, machine: MachineClass, url: str, token: str, settings: Mapping[str, str]
) -> str:
    """`url`: the gateway. `settings`: of the worker, none of them a secret. JSON is YAML."""
    variables = {**settings, "MECAPY_URL": url, "MECAPY_MACHINE_TOKEN": token}
    words = ["mecapy", "worker", "--hours", f"{machine.hours:g}", "--machine", str(tag)]
    why = f"its image {machine.image} cannot be pulled"
    start = _START.format(
        minutes=round(machine.hours * 60) + _SPARE_MINUTES,
        metadata=METADATA,
        metadata_ipv6=_METADATA_IPV6,
        folder=_FOLDER,
        image=shlex.quote(machine.image),
        gpus="--gpus all " if machine.gpu else "",
        command=shlex.join(words),
        failed=shlex.quote(f"{url.rstrip('/')}/machines/failed?why={quote(why)}"),
    )
    environment = "".join(f"{name}={value}\n" for name, value in variables.items())
    files: list[_WrittenFile] = [
        _file("worker.env", "0600", environment),
        _file("header", "0600", f"Authorization: Bearer {token}\n"),
        _file("start", "0700", start),
    ]
    made = {
        "packages": ["curl", "docker.io"],
        "package_update": True,
        "ssh_pwauth": False,
        "write_files": files,
        "runcmd": [["sh", f"{_FOLDER}/start"]],
    }
    return "#cloud-config\n" + json.dumps(made, indent=1) + "\n"


def _file(name: str, permissions: str, content: str) -> _WrittenFile:
    return {"path": f"{_FOLDER}/{name}", "permissions": permissions, "content": content}

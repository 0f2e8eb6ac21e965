"""A small Scaleway on loopback: servers, their volumes, user data, images and addresses, as the
recordings in its SDK show them. Power on, and the server does what its cloud-init says, with
`docker`, `ip` and `shutdown` of this folder's own: a real worker starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from mecapy_backend.fleet.cloud_config import METADATA

from .fake_scaleway_http import Fault, handler
from .fake_scaleway_storage import Storage, fits, not_found, page

KEYS = {
    "SCW_ACCESS_KEY": "SCWXXXXXXXXXXXXXXXXX",
    "SCW_SECRET_KEY": "11111111-1111-1111-1111-111111111111",
    "SCW_DEFAULT_PROJECT_ID": "11111111-1111-1111-1111-111111111111",
}
TYPES = ("DEV1-S", "DEV1-M")
ZONES = ("fr-par-1", "fr-par-2")
_PROJECT = KEYS["SCW_DEFAULT_PROJECT_ID"]
_PROGRAMS = {
    # Its last words are the command in the container; without the image there is none.
    "docker": """#!{python}
import os, sys
words = sys.argv[1:]
if words[0] == "pull":
    sys.exit("no such image" if "missing" in words[-1] else 0)
lines = open(words[words.index("--env-file") + 1])
settings = dict(line.rstrip("\\n").split("=", 1) for line in lines)
command = words[words.index("mecapy") + 1:]
kept = {{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}}
os.execve(sys.executable, [sys.executable, "-m", "mecapy_jupyter.cli", *command], kept | settings)
""",
    "ip": "#!/bin/sh\nexit 0\n",
    "shutdown": '#!/bin/sh\n[ "$2" != now ] || curl -s -X POST "$FAKE_OFF"\n',
}


@dataclass
class Server:
    """One Instance. `process`: what its cloud-init started."""

    id: str
    zone: str
    body: dict[str, Any]
    user_data: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None


class FakeScaleway(Storage):
    """`boots`: servers do what their cloud-init says. `folder`: theirs."""

    def __init__(self, folder: Path, *, boots: bool = True) -> None:
        super().__init__()
        self._folder, self._boots, self._lock = folder, boots, threading.RLock()
        self.servers: dict[str, Server] = {}
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.made = 0
        self._http: Any = None

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        for name, text in _PROGRAMS.items():
            (self._folder / name).write_text(text.format(python=sys.executable))
            (self._folder / name).chmod(0o755)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self.answer))
        self._http.daemon_threads = True
        thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self.url
        finally:
            self._http.shutdown()
            thread.join()
            self._http.server_close()
            for server in list(self.servers.values()):
                self.take_away(server.id)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def left(self) -> dict[str, int]:
        return {"servers": len(self.servers), "volumes": len(self.volumes), "ips": len(self.ips)}

    def take_away(self, server_id: str, notice_s: float = 0.0) -> None:
        """As a provider does that needs its hardware: at once, with all that runs on it, or after
        a notice, which its programs get as SIGTERM.
        """
        told = self.servers.get(server_id)
        if notice_s and told and told.process:
            os.killpg(told.process.pid, signal.SIGTERM)
            until = time.monotonic() + notice_s
            while _group_lives(told.process) and time.monotonic() < until:
                time.sleep(0.1)
        with self._lock:
            server = self.servers.pop(server_id, None)
            for volume in self.volumes.values():
                volume["references"] = [] if volume["of"] == server_id else volume["references"]
        if server and server.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        with self._lock:
            line = f"{method} {path}"
            self.asked.append(line)
            fault = next((f for f in self.faults if re.search(f.matches, line)), None)
            if fault:
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                if fault.after:
                    self._route(method, path, body)
            else:
                return self._route(method, path, body)
        time.sleep(fault.seconds)
        return fault.status, fault.body

    def _route(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        for pattern, route in _ROUTES:
            if found := re.fullmatch(pattern, f"{method} {parts.path}"):
                return route(self, query, body, *map(unquote, found.groups()))
        return 404, {"type": "not_found", "message": f"no route {method} {parts.path}"}

    # Servers

    def create(self, query: Any, body: bytes, zone: str) -> tuple[int, Any]:
        asked = json.loads(body)
        if asked["commercial_type"] not in TYPES:
            return 400, {"type": "invalid_arguments", "message": "validation error"}
        number, volume = str(uuid.uuid4()), str(uuid.uuid4())
        self.volumes[volume] = {
            "id": volume, "name": "Ubuntu 24.04", "type": "sbs_5k", "size": 10**10, "tags": [],
            "project_id": _PROJECT, "references": [{}], "parent_snapshot_id": None,
            "status": "in_use", "created_at": "2026-01-01T00:00:00Z", "zone": zone,
            "updated_at": "2026-01-01T00:00:00Z", "specs": {"perf_iops": 5000, "class": "sbs"},
            "last_detached_at": None, "of": number,
        }  # fmt: skip
        made = {
            "id": number, "zone": zone, "state": "stopped", "state_detail": "",
            "allowed_actions": ["poweron", "backup"], "arch": "x86_64", "boot_type": "local",
            "organization": _PROJECT, "project": _PROJECT, "hostname": asked["name"],
            "image": None, "protected": False, "public_ip": None, "public_ips": [],
            "mac_address": "de:00:00:c8:be:d7", "routed_ip_enabled": True, "ipv6": None,
            "extra_networks": [], "enable_ipv6": False, "private_ip": None,
            "creation_date": "2026-01-01T00:00:00+00:00", "location": None, "maintenances": [],
            "modification_date": "2026-01-01T00:00:00+00:00", "bootscript": None,
            "security_group": {"id": str(uuid.uuid4()), "name": "Default security group"},
            "placement_group": None, "private_nics": [], "filesystems": [],
            "end_of_service": False,
            "volumes": {"0": {"id": volume, "boot": False, "volume_type": "sbs_volume",
                              "zone": zone}},
            **{name: asked.get(name, otherwise) for name, otherwise in (
                ("name", ""), ("tags", []), ("commercial_type", ""),
                ("dynamic_ip_required", False))},
        }  # fmt: skip
        self.servers[number] = Server(number, zone, made)
        self.made += 1
        return 201, {"server": made}

    def list_servers(self, query: Any, body: bytes, zone: str) -> tuple[int, Any]:
        found = [s.body for s in self.servers.values() if s.zone == zone and fits(s.body, query)]
        return 200, {"servers": page(found, query, "per_page")}

    def get(self, query: Any, body: bytes, zone: str, number: str) -> tuple[int, Any]:
        server = self.servers.get(number)
        return (200, {"server": server.body}) if server else not_found("instance_server", number)

    def delete(self, query: Any, body: bytes, zone: str, number: str) -> tuple[int, Any]:
        server = self.servers.get(number)
        if server is None:
            return not_found("instance_server", number)
        if server.body["state"] != "stopped":
            return 400, {"type": "invalid_request_error", "message": "server must be stopped"}
        self.take_away(number)
        return 204, None

    def set_data(
        self, query: Any, body: bytes, zone: str, number: str, key: str
    ) -> tuple[int, Any]:
        if number not in self.servers:
            return not_found("instance_server", number)
        self.servers[number].user_data[key] = body.decode()
        return 204, None

    def get_data(self, query: Any, body: bytes, *about: str) -> tuple[int, Any]:
        keys = self.servers[about[1]].user_data
        return (200, {"user_data": list(keys)}) if len(about) == 2 else (200, keys[about[2]])

    def act(self, query: Any, body: bytes, zone: str, number: str) -> tuple[int, Any]:
        server, action = self.servers.get(number), json.loads(body)["action"]
        if server is None:
            return not_found("instance_server", number)
        if action == "poweron":
            server.body["state"] = "running"
            if self._boots:
                self._boot(server)
        elif server.body["state"] == "stopped":
            return 400, {"type": "invalid_request_error", "message": "server should be running"}
        else:
            server.body["state"] = "stopping"
            threading.Timer(0.05, self.take_away, (number,)).start()
        return 202, {"task": {"id": str(uuid.uuid4()), "description": action, "progress": 0,
                              "status": "pending", "started_at": "2026-01-01T00:00:00+00:00",
                              "zone": zone, "href_from": ""}}  # fmt: skip

    def off(self, query: Any, body: bytes, number: str) -> tuple[int, Any]:
        """It has shut itself down; it is there, and is paid for."""
        if number in self.servers:
            self.servers[number].body["state"] = "stopped"
        return 200, {}

    def forget_data(self, query: Any, body: bytes, number: str, key: str) -> tuple[int, Any]:
        """At the metadata address."""
        self.servers[number].user_data.pop(key, None)
        return 204, None

    def _boot(self, server: Server) -> None:
        root = self._folder / server.id
        root.mkdir()
        config = yaml.safe_load(server.user_data["cloud-init"])
        run = str(root)
        for one in config["write_files"]:
            path = root / Path(one["path"]).name
            text = one["content"].replace("/run/mecapy", run)
            path.write_text(text.replace(METADATA, f"{self.url[7:]}/metadata/{server.id}", 1))
            path.chmod(int(one["permissions"], 8))
        (command,) = config["runcmd"]
        log = (root / "log").open("wb")
        server.process = subprocess.Popen(
            [word.replace("/run/mecapy", run) for word in command],
            env={"PATH": f"{self._folder}:{os.environ['PATH']}", "HOME": run, "TMPDIR": run,
                 "FAKE_OFF": f"{self.url}/off/{server.id}"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        log.close()

    def images(self, query: Any, body: bytes) -> tuple[int, Any]:
        image = {"id": str(uuid.uuid4()), "arch": "x86_64", "zone": query["zone"],
                 "compatible_commercial_types": list(TYPES), "label": query["image_label"],
                 "type": query["type"]}  # fmt: skip
        found = [image] if query.get("page", "1") == "1" else []
        return 200, {"local_images": found, "total_count": 1}


def _group_lives(leader: subprocess.Popen[bytes]) -> bool:
    leader.poll()
    try:
        os.killpg(leader.pid, 0)
    except ProcessLookupError:
        return False
    return True


_ZONE = r"/instance/v1/zones/([\w-]+)"
_BLOCK = r"/block/v1/zones/([\w-]+)/volumes"
_ROUTES: list[tuple[str, Callable[..., tuple[int, Any]]]] = [
    (rf"POST {_ZONE}/servers", FakeScaleway.create),
    (rf"GET {_ZONE}/servers", FakeScaleway.list_servers),
    (rf"GET {_ZONE}/servers/([\w-]+)", FakeScaleway.get),
    (rf"DELETE {_ZONE}/servers/([\w-]+)", FakeScaleway.delete),
    (rf"POST {_ZONE}/servers/([\w-]+)/action", FakeScaleway.act),
    (rf"PATCH {_ZONE}/servers/([\w-]+)/user_data/(.+)", FakeScaleway.set_data),
    (rf"GET {_ZONE}/servers/([\w-]+)/user_data", FakeScaleway.get_data),
    (rf"GET {_ZONE}/servers/([\w-]+)/user_data/(.+)", FakeScaleway.get_data),
    (rf"GET {_BLOCK}/([\w-]+)", FakeScaleway.get_volume),
    (rf"GET {_BLOCK}", FakeScaleway.list_volumes),
    (rf"PATCH {_BLOCK}/([\w-]+)", FakeScaleway.tag_volume),
    (rf"DELETE {_BLOCK}/([\w-]+)", FakeScaleway.delete_volume),
    (rf"GET {_ZONE}/ips", FakeScaleway.list_ips),
    (rf"DELETE {_ZONE}/ips/([\w-]+)", FakeScaleway.delete_ip),
    (r"GET /marketplace/v2/local-images", FakeScaleway.images),
    (r"POST /off/([\w-]+)", FakeScaleway.off),
    (r"DELETE /metadata/([\w-]+)/user_data/(.+)", FakeScaleway.forget_data),
]

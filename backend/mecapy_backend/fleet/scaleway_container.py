"""Provider `scaleway-container`: each machine is a Serverless Container of Scaleway with one
worker, made and deleted, never changed: a change ends its tasks. The containers of a stack share a
namespace, which costs nothing and stays.

The platform restarts a worker that ends. Its token is used up then, so it serves nobody, and the
scaler deletes the container because it is silent.
"""

from __future__ import annotations

import time
from functools import cached_property

import structlog

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.provider import Tag
from mecapy_backend.fleet.scaleway_sdk import ScalewayRefused, asked, container
from mecapy_backend.fleet.scaleway_serverless import ServerlessProvider, delete, worker_arguments

log = structlog.get_logger()
_PORT = 8080  # the platform keeps 9090 and some others to itself
_WORKER_BYTES, _DISK_BYTES, _MB = 1 << 30, 10_000_000_000, 10**6
_PROBE_S, _PROBE_ANSWER_S, _ALIVE_FAILURES = 10, 5, 6
_READY_WITHIN_S = 120.0


class ScalewayContainerProvider(ServerlessProvider[container.Container]):
    @cached_property
    def _api(self) -> container.ContainerV1API:
        return container.ContainerV1API(self._client)

    def _tagged(self, region: str) -> list[tuple[Tag, container.Container]]:
        """The containers with a tag, without those that are being deleted."""
        found = asked(
            f"containers in {region}", lambda: self._api.list_containers_all(region=region)
        )
        there = [one for one in found if str(one.status) != "deleting"]
        return [(tag, one) for one in there for text in one.tags if (tag := Tag.of(text))]

    def _namespace(self, region: str, name: str) -> str:
        """Its id, once it takes containers."""
        where = f"the namespace {name} in {region}"
        until = time.monotonic() + _READY_WITHIN_S
        found = self._named(where, region, name) or asked(
            where,
            lambda: self._api.create_namespace(region=region, name=name, description="MecaPy"),
        )
        number = found.id
        while str(found.status) != "ready":
            if str(found.status) == "error" or time.monotonic() > until:
                raise ScalewayRefused(
                    f"Scaleway, {where}: is {found.status} and takes no containers; delete it "
                    "there, and the next machine makes it anew"
                )
            time.sleep(self._look_s)
            found = asked(
                where, lambda: self._api.get_namespace(namespace_id=number, region=region)
            )
        return number

    def _named(self, where: str, region: str, name: str) -> container.Namespace | None:
        """The API's own filter by name was seen to let other names through."""
        found = asked(where, lambda: self._api.list_namespaces_all(region=region))
        return next((one for one in found if one.name == name), None)

    def _start_in(self, region: str, tag: Tag, machine: MachineClass, token: str) -> str:
        """Sandbox v1: in v2 forks share no memory, and nothing confines them. `private`: the
        worker's port answers the platform's probes and nobody else.
        """
        namespace = self._namespace(region, f"mecapy-{tag.stack}")
        given = {**self._settings, "MECAPY_URL": self._url, "MECAPY_WORKER_HOST": "0.0.0.0"}
        patience = max(_ALIVE_FAILURES, round(machine.boot_s * 3 / _PROBE_S))
        made = asked(f"a container in {region}", lambda: self._api.create_container(
            region=region, namespace_id=namespace, name=f"mecapy-{tag.machine}", tags=[str(tag)],
            description="MecaPy", image=machine.image, command=["mecapy"],
            args=worker_arguments(tag, machine),
            environment_variables=given,
            secret_environment_variables={"MECAPY_MACHINE_TOKEN": token},
            min_scale=1, max_scale=1, mvcpu_limit=round(machine.cpus * machine.slots * 1000),
            memory_limit_bytes=memory_bytes(machine), local_storage_limit_bytes=_DISK_BYTES,
            sandbox=container.ContainerSandbox.V1, privacy=container.ContainerPrivacy.PRIVATE,
            protocol=container.ContainerProtocol.HTTP1, port=_PORT, https_connections_only=True,
            startup_probe=_probe(patience), liveness_probe=_probe(_ALIVE_FAILURES),
        ))  # fmt: skip
        return made.id

    def _end(self, region: str, tag: Tag, one: container.Container) -> None:
        """Accepted, it goes by itself within seconds."""
        if str(one.status) == "error":
            log.warning("container failed", machine=tag.machine, why=one.error_message)
        delete(f"the container {one.id} in {region}", lambda: self._api.delete_container(
            container_id=one.id, region=region))  # fmt: skip


def memory_bytes(machine: MachineClass) -> int:
    """The memory for its tasks and for the worker itself, in whole megabytes."""
    return -(-(machine.memory_bytes * machine.slots + _WORKER_BYTES) // _MB) * _MB


def _probe(failures: int) -> container.ContainerProbe:
    """A probe of the worker's port; a container that hangs is ended, and the scaler replaces its
    machine.
    """
    asked_at = container.ContainerProbeHTTPProbe("/livez")
    return container.ContainerProbe(failures, f"{_PROBE_S}s", f"{_PROBE_ANSWER_S}s", http=asked_at)

"""Provider `scaleway-job`: each machine is a Serverless Job of Scaleway with one worker, paid by
the second; for long tasks that want a machine for themselves. Its definition has the machine's tag
as its name, and goes with it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_backend.fleet.scaleway_sdk import (
    ANSWER_S,
    JobsV1Alpha2API,
    RetryPolicy,
    ScalewayRefused,
    asked,
    client,
)

_WORKER_MIB, _DISK_MIB = 1024, 10_000
_SPARE_S, _LONGEST_S = 1800, 24 * 3600
_ENDED = ("succeeded", "failed", "interrupted")
_ENDS_WITHIN_S, _LOOK_S = 60.0, 1.0


class ScalewayJobProvider:
    """`regions`: where its machines may be, all of them looked through. `url`: the gateway's
    address for machines; `settings`: of their workers, none of them a secret.
    """

    def __init__(
        self,
        regions: tuple[str, ...],
        url: str,
        settings: Mapping[str, str],
        *,
        answer_s: float = ANSWER_S,
        look_s: float = _LOOK_S,
    ) -> None:
        self._jobs = JobsV1Alpha2API(client(answer_s))
        self._regions, self._url, self._settings, self._look_s = regions, url, settings, look_s

    def start(self, tag: Tag, machine: MachineClass, token: str) -> str:
        """In the first region that takes it."""
        refusals: list[str] = []
        for region in machine.zones:
            try:
                return self._start_in(region, tag, machine, token)
            except ScalewayRefused as refused:
                refusals.append(str(refused))
                if refused.final or refused.unsure:
                    raise  # the next round finds by its name what may be there
        raise ProviderRefused("; ".join(refusals))

    def stop(self, handle: str, tag: Tag) -> None:
        """Its run, then its definition, which cannot be deleted before."""
        known = handle.partition("/")[0]
        for region in (known,) if known else self._regions:
            for definition in self._definitions(region):
                if definition[0] == str(tag):
                    self._end(region, definition[1])

    def list(self, stack: str) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for region in self._regions:
            for name, definition in self._definitions(region):
                tag = Tag.of(name)
                if tag and tag.stack == stack:
                    found[tag.machine] = f"{region}/{definition}"
        return found

    def _definitions(self, region: str) -> list[tuple[str, str]]:
        found = asked(
            f"jobs in {region}", lambda: self._jobs.list_job_definitions_all(region=region)
        )
        return [(one.name, one.id) for one in found]

    def _start_in(self, region: str, tag: Tag, machine: MachineClass, token: str) -> str:
        where = f"a job in {region}"
        words = ["worker", "--hours", f"{machine.hours:g}", "--machine", str(tag)]
        given = {**self._settings, "MECAPY_URL": self._url, "MECAPY_MACHINE_TOKEN": token}
        made = asked(where, lambda: self._jobs.create_job_definition(
            region=region, name=str(tag), description="MecaPy", image_uri=machine.image,
            cpu_limit=round(machine.cpus * machine.slots * 1000), memory_limit=memory_mib(machine),
            local_storage_capacity=_DISK_MIB, startup_command=["mecapy"], args=words,
            environment_variables=given, retry_policy=RetryPolicy(max_retries=0),
            job_timeout=f"{min(_LONGEST_S, round(machine.hours * 3600) + _SPARE_S)}s",
        ))  # fmt: skip
        try:
            asked(
                where,
                lambda: self._jobs.start_job_definition(job_definition_id=made.id, region=region),
            )
        except ScalewayRefused as refused:
            if not refused.unsure:
                self._end(region, made.id)
            raise
        return f"{region}/{made.id}"

    def _end(self, region: str, definition: str) -> None:
        where = f"the job {definition} in {region}"
        until = time.monotonic() + _ENDS_WITHIN_S
        while runs := self._running(where, region, definition):
            for run in runs:
                asked(where, lambda r=run: self._jobs.stop_job_run(job_run_id=r, region=region))
            if time.monotonic() > until:
                return  # the next round asks again
            time.sleep(self._look_s)
        try:
            asked(where, lambda: self._jobs.delete_job_definition(
                job_definition_id=definition, region=region))  # fmt: skip
        except ScalewayRefused as refused:
            if not refused.gone:
                raise

    def _running(self, where: str, region: str, definition: str) -> list[str]:
        found = asked(where, lambda: self._jobs.list_job_runs_all(
            region=region, job_definition_id=definition))  # fmt: skip
        return [one.id for one in found if str(one.state) not in _ENDED]


def memory_mib(machine: MachineClass) -> int:
    """For its tasks, and for the worker itself."""
    return -(-machine.memory_bytes * machine.slots // 2**20) + _WORKER_MIB

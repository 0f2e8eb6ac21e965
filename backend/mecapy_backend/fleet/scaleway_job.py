"""Provider `scaleway-job`: each machine is a Serverless Job of Scaleway with one worker, paid by
the second; for long tasks that want a machine for themselves. Its definition has the machine's tag
as its name, and goes with it.
"""

from __future__ import annotations

import time
from functools import cached_property

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.provider import Tag
from mecapy_backend.fleet.scaleway_sdk import ScalewayRefused, asked, jobs
from mecapy_backend.fleet.scaleway_serverless import ServerlessProvider, delete, worker_arguments

_WORKER_MIB, _DISK_MIB = 1024, 10_000
_SPARE_S, _LONGEST_S = 1800, 24 * 3600
_ENDED = ("succeeded", "failed", "interrupted")
_ENDS_WITHIN_S = 60.0


class ScalewayJobProvider(ServerlessProvider[jobs.JobDefinition]):
    @cached_property
    def _jobs(self) -> jobs.JobsV1Alpha2API:
        return jobs.JobsV1Alpha2API(self._client)

    def _tagged(self, region: str) -> list[tuple[Tag, jobs.JobDefinition]]:
        found = asked(
            f"jobs in {region}", lambda: self._jobs.list_job_definitions_all(region=region)
        )
        return [(tag, one) for one in found if (tag := Tag.of(one.name))]

    def _start_in(self, region: str, tag: Tag, machine: MachineClass, token: str) -> str:
        where = f"a job in {region}"
        given = {**self._settings, "MECAPY_URL": self._url, "MECAPY_MACHINE_TOKEN": token}
        made = asked(where, lambda: self._jobs.create_job_definition(
            region=region, name=str(tag), description="MecaPy", image_uri=machine.image,
            cpu_limit=round(machine.cpus * machine.slots * 1000), memory_limit=memory_mib(machine),
            local_storage_capacity=_DISK_MIB, startup_command=["mecapy"],
            args=worker_arguments(tag, machine),
            environment_variables=given, retry_policy=jobs.RetryPolicy(max_retries=0),
            job_timeout=f"{min(_LONGEST_S, round(machine.hours * 3600) + _SPARE_S)}s",
        ))  # fmt: skip
        try:
            asked(
                where,
                lambda: self._jobs.start_job_definition(job_definition_id=made.id, region=region),
            )
        except ScalewayRefused as refused:
            if not refused.unsure:
                self._end(region, tag, made)
            raise
        return made.id

    def _end(self, region: str, tag: Tag, one: jobs.JobDefinition) -> None:
        """Its run, then its definition, which cannot be deleted before."""
        where = f"the job {one.id} in {region}"
        until = time.monotonic() + _ENDS_WITHIN_S
        while runs := self._running(where, region, one.id):
            for run in runs:
                asked(where, lambda r=run: self._jobs.stop_job_run(job_run_id=r, region=region))
            if time.monotonic() > until:
                return  # the next round asks again
            time.sleep(self._look_s)
        delete(where, lambda: self._jobs.delete_job_definition(
            job_definition_id=one.id, region=region))  # fmt: skip

    def _running(self, where: str, region: str, definition: str) -> list[str]:
        found = asked(where, lambda: self._jobs.list_job_runs_all(
            region=region, job_definition_id=definition))  # fmt: skip
        return [one.id for one in found if str(one.state) not in _ENDED]


def memory_mib(machine: MachineClass) -> int:
    """The memory for its tasks and for the worker itself."""
    return -(-machine.memory_bytes * machine.slots // 2**20) + _WORKER_MIB

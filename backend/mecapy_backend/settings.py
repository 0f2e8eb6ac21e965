"""Every setting of the servers, read from the environment (`MECAPY_…`): the one place where they are documented.

`Settings()` reads the environment once at start; the gateway (`app.create_app`) and the worker get it handed down.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MB, GB = 10**6, 10**9


class Settings(BaseSettings):
    """Field `x_y` is the environment variable `MECAPY_X_Y`."""

    model_config = SettingsConfigDict(env_prefix="MECAPY_", frozen=True, extra="ignore")

    # Where things are
    database_url: str = Field(default="postgresql://localhost/mecapy", description="PostgreSQL; a unix socket as `?host=/directory`")
    redis_url: str = Field(default="redis://localhost:6379/0", description="Redis or Valkey; `unix:///path?db=0` for a socket")
    blob_url: str = Field(default="file:///var/lib/mecapy/blobs", description="object store: `file:///directory` or `s3://bucket/prefix`")
    s3_endpoint_url: str = Field(default="", description="S3 server other than AWS; credentials come from the usual AWS variables")
    cache_dir: str = Field(default="", description="where blobs from S3 are kept for the children; default: a folder in the system's temp")
    cache_bytes: int = Field(default=20 * GB, gt=0, description="the blob cache drops its oldest files above this size")
    blob_grace_s: float = Field(default=3600.0, gt=0, description="a blob that no task names is kept so long after its last use")
    token: SecretStr = Field(default=SecretStr(""), description="the one bearer token this gateway accepts")

    # Worker
    worker_slots: int = Field(default=1, ge=1, le=1024, description="tasks one worker runs at once")
    sandbox: Literal["strict", "best-effort"] = Field(default="strict", description="strict: refuse to run unconfined")
    preload: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(
            "numpy",
            "scipy.integrate",
            "scipy.interpolate",
            "scipy.optimize",
            "scipy.signal",
            "scipy.sparse.linalg",
            "scipy.stats",
            "matplotlib.pyplot",
            "pandas",
            "sympy",
        ),
        description="modules every child has imported already, with commas between",
    )

    # Limits of a request
    max_body_bytes: int = Field(default=8 * MB, gt=0, description="body of a JSON request; larger values go through /blobs")
    max_blob_bytes: int = Field(default=10 * GB, gt=0, description="one uploaded blob")
    quota_bytes: int = Field(default=100 * GB, gt=0, description="blobs of one owner, all together, before more uploads are refused")
    max_code_bytes: int = Field(default=1 * MB, gt=0, description="code of one task")
    max_queued_tasks: int = Field(default=1000, gt=0, description="tasks of one owner that may wait at once")
    max_timeout_s: float = Field(default=24 * 3600.0, gt=0, description="longest `timeout` a task may ask for")

    # Limits of a running task
    max_output_bytes: int = Field(default=256 * MB, gt=0, description="what a task may print and display")
    max_result_bytes: int = Field(default=2 * GB, gt=0, description="what a task may return")
    max_memory_bytes: int = Field(default=4 * GB, gt=0, description="memory of a task, all its processes together")
    max_disk_bytes: int = Field(default=4 * GB, gt=0, description="files of a task")

    # Leases
    lease_s: float = Field(default=10.0, gt=0, description="a worker silent for so long has lost its tasks")
    heartbeat_s: float = Field(default=3.0, gt=0, description="how often a worker renews its leases")
    grace_s: float = Field(default=10.0, ge=0, description="a worker told to stop gives its tasks so long to end, then gives them back")
    max_losses: int = Field(default=3, ge=1, description="a task whose worker vanished so often fails with `worker_lost`")

    @field_validator("preload", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

"""Every setting of the servers, read from the environment (`MECAPY_…`): the one place where they
are documented.

`Settings()` reads the environment once at start; the gateway (`app.create_app`) and the worker get
it handed down.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from mecapy_backend.shared.notice_settings import NoticeSettings
from mecapy_backend.shared.package_settings import GB, MB, Names
from mecapy_jupyter.wire import POOL, WORKER_LIVES_S


class Settings(NoticeSettings):
    """Field `x_y` is the environment variable `MECAPY_X_Y`."""

    model_config = SettingsConfigDict(
        env_prefix="MECAPY_", frozen=True, extra="ignore", populate_by_name=True
    )

    # Where things are
    database_url: str = "postgresql://localhost/mecapy"
    """PostgreSQL; a unix socket as `?host=/directory`."""

    database_connections: int = Field(default=0, ge=0)
    """The most of one process; 0: 10 of a gateway, 4 of a worker."""

    database_pooler: Literal["none", "transaction"] = "none"
    """transaction: the URL names such a pooler (PgBouncer)."""

    redis_url: str = "redis://localhost:6379/0"
    """Redis or Valkey; `unix:///path?db=0` for a socket."""

    blob_url: str = "file:///var/lib/mecapy/blobs"
    """Object store: `file:///directory` or `s3://bucket/prefix`."""

    s3_endpoint_url: str = ""
    """S3 server other than AWS; credentials: the usual AWS variables."""

    s3_region: str = ""
    """default: AWS_REGION, else by the endpoint's name, else us-east-1."""

    cache_dir: str = ""
    """The folder of the children's blobs from S3; default: in the system's temp."""

    cache_bytes: int = Field(default=20 * GB, gt=0)
    """The blob cache drops its oldest files above this size."""

    blob_grace_s: float = Field(default=3600.0, gt=0)
    """How long a blob that no task names is kept."""

    keep_s: float = Field(default=30 * 24 * 3600.0, gt=0)
    """How long a finished task, its result and its log are kept."""

    token: SecretStr = SecretStr("")
    """A bearer token whose holder is the user `local`, an admin; while it is replaced, the new one
    and the old one, with a comma between.
    """

    # Who asks (docs/identity.md)
    oidc_issuer: str = ""
    """OpenID Connect issuer whose access tokens are accepted, exactly as it names itself."""

    oidc_audience: Names = Field(default=("mecapy",), min_length=1)
    """Audiences (`aud`), of which a token must name one, with commas between."""

    oidc_clients: Names = Field(default=("mecapy-cli",), min_length=1)
    """Clients (`azp`) whose tokens are accepted; `mecapy login` uses the first."""

    oidc_scope: str = "openid offline_access"
    """Scopes that `mecapy login` asks for."""

    oidc_roles_claim: Names = ("realm_access.roles", "resource_access.mecapy.roles")
    """Claims that hold roles; a dot goes inside."""

    oidc_manager_role: str = "mecapy-manager"
    """The role that makes a manager."""

    oidc_admin_role: str = "mecapy-admin"
    """The role that makes an admin."""

    oidc_organisation_claim: Names = ("organization",)
    """Claims with the organisation; the first found counts; of a path, its top."""

    oidc_max_lifetime_s: float = Field(default=7200.0, gt=0)
    """Longest lifetime of a token."""

    # Worker
    worker_slots: int = Field(default=1, ge=1, le=1024)
    """Tasks one worker runs at once."""

    machine_class: str = POOL
    """Class of machines this worker serves (docs/fleet.md)."""

    gpus: Literal["none", "all"] = "none"
    """all: a task has one of this machine's NVIDIA GPUs to itself."""

    sandbox: Literal["strict", "best-effort"] = "strict"
    """strict: refuse to start if tasks cannot be confined."""

    preload: Names = (
        "numpy", "scipy.integrate", "scipy.interpolate", "scipy.optimize", "scipy.signal",
        "scipy.sparse.linalg", "scipy.stats", "matplotlib.pyplot", "pandas", "sympy",
    )  # fmt: skip
    """Modules every child has imported already, with commas between."""

    egress: Names = ()
    """What tasks may reach, `host:port` or `*.domain:port`, with commas between; nothing: no
    network.
    """

    machines: str = ""
    """File of the classes of machines (docs/fleet.md); nothing: `pool`."""

    machine_s3_role: str = ""
    """ARN of a role that the gateway takes (STS) for each machine in a cloud, whose keys of the
    store are then its own.
    """

    machine_s3_key: SecretStr = SecretStr("")
    """`ID:SECRET` of the store, for machines in a cloud where there is no role; nothing: the
    gateway's.
    """

    # Logs, metrics, traces
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, else JSON."""

    otlp_endpoint: str = ""
    """OpenTelemetry collector, `http://host:4318`; nothing: off."""

    worker_host: str = "127.0.0.1"
    """Address of the worker's port."""

    worker_port: int = Field(
        default=0, ge=0, le=65535, validation_alias=AliasChoices("MECAPY_WORKER_PORT", "PORT")
    )
    """Port of the worker's /metrics and /readyz; default: PORT; 0: none."""

    # Limits of a request
    max_connections: int = Field(default=4000, gt=0)
    """Connections to one gateway at once."""

    max_streams: int = Field(default=2000, gt=0)
    """Event streams open at one gateway; each holds a Redis connection."""

    max_owner_streams: int = Field(default=500, gt=0)
    """Event streams of one owner open at one gateway."""

    max_body_bytes: int = Field(default=8 * MB, gt=0)
    """Body of a JSON request; larger values go through /blobs."""

    max_blob_bytes: int = Field(default=10 * GB, gt=0)
    """One uploaded blob."""

    quota_bytes: int = Field(default=100 * GB, gt=0)
    """Blobs of one owner, all together, before more uploads are refused."""

    max_code_bytes: int = Field(default=1 * MB, gt=0)
    """Code of one task."""

    max_queued_tasks: int = Field(default=1000, gt=0)
    """Tasks of one owner that may wait at once."""

    max_timeout_s: float = Field(default=24 * 3600.0, gt=0)
    """Longest `timeout` a task may ask for."""

    # Notebooks
    folder_bytes: int = Field(default=20 * MB, ge=0)
    """How much of a notebook's folder travels automatically, both ways; 0: only after `%mecapy
    config folder=on`; a notebook's environment may lower it.
    """

    folder_files: int = Field(default=1000, ge=0)
    """How many files of a notebook's folder travel automatically."""

    # Limits of a running task
    max_output_bytes: int = Field(default=256 * MB, gt=0)
    """What a task may print and display."""

    max_result_bytes: int = Field(default=2 * GB, gt=0)
    """What a task may return."""

    max_memory_bytes: int = Field(default=0, ge=0)
    """Memory of all processes of a task; 0: its share of 75 % of the machine, at most 4 GB."""

    max_disk_bytes: int = Field(default=4 * GB, gt=0)
    """Files of a task."""

    # Shares
    max_running_tasks: int = Field(default=0, ge=0)
    """Tasks of one owner that may run at once; 0: as many as there is room for."""

    cpu_hours: float = Field(default=0.0, ge=0)
    """CPU-hours of one owner's tasks in a month (UTC); 0: no limit."""

    short_s: float = Field(default=2.0, ge=0)
    """A task up to this run time is short and passes long ones, in an extra place of each worker;
    0: no such place.
    """

    requests_per_s: float = Field(default=100.0, ge=0)
    """Requests of one user to one gateway; bursts may have ten times as many; 0: no limit."""

    # Audit, proxies, browsers
    audit_days: float = Field(default=365.0, gt=0)
    """How long the audit keeps its lines."""

    trusted_proxies: Names = Field(
        default=(), validation_alias=AliasChoices("MECAPY_TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS")
    )
    """Addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` the gateway believes,
    with commas between; default: FORWARDED_ALLOW_IPS; empty: none.
    """

    cors_origins: Names = ()
    """Origins whose pages may call the gateway from a browser, with commas between."""

    # Leases, and how long to wait for unavailable services
    lease_s: float = Field(default=10.0, gt=0)
    """A worker that is silent for this long loses its tasks."""

    heartbeat_s: float = Field(default=3.0, gt=0)
    """How often a worker renews its leases."""

    store_patience_s: float = Field(default=600.0, ge=0)
    """How long a result waits for the object store before its task fails."""

    drain_s: float = Field(default=3.0, ge=0)
    """How long a gateway still answers after SIGTERM, while /readyz is 503."""

    grace_s: float = Field(default=10.0, ge=0)
    """How long a worker's tasks may run after SIGTERM before they are requeued."""

    max_losses: int = Field(default=3, ge=1)
    """A task that loses this many workers fails with `worker_lost`."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens of MECAPY_TOKEN, the newest first. No token contains a comma (RFC 6750)."""
        several = self.token.get_secret_value().split(",")
        return tuple(token.strip() for token in several if token.strip())

    @field_validator("heartbeat_s")
    @classmethod
    def _often_enough(cls, value: float, info: ValidationInfo) -> float:
        lease_s = float(info.data.get("lease_s", WORKER_LIVES_S))
        if value >= WORKER_LIVES_S:
            raise ValueError(
                f"MECAPY_HEARTBEAT_S is {value:g}, and a worker that is silent for "
                f"{WORKER_LIVES_S:g} s counts as gone: set it to {WORKER_LIVES_S / 3:.0f}"
            )
        if value >= lease_s:
            raise ValueError(
                f"MECAPY_HEARTBEAT_S is {value:g}, and a worker that is silent for "
                f"{lease_s:g} s (MECAPY_LEASE_S) loses its tasks: set it to {lease_s / 3:.2g}"
            )
        return value

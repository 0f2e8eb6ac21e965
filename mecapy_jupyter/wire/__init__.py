"""The contract: every shape that travels between notebook, gateway and worker, and the defaults
they agree on. Standard library only; all sides import it.

A frozen dataclass here is one thing that travels; `as_json` and `from_json` are its only two forms.
Fields that are not known are ignored and absent ones have their defaults, so that a client and a
gateway of different releases understand each other.
"""

# The imports are the list of names, so there is no `__all__`.
# ruff: noqa: F401
# pyright: reportUnusedImport=false

from mecapy_jupyter.wire.accounts import (
    Limits,
    MonthlyReport,
    MonthlyUse,
    OrganisationInfo,
    TaskOfUser,
    UserInfo,
)
from mecapy_jupyter.wire.blobs import (
    BlobSize,
    MissingBlob,
    MissingBlobs,
    PartUrls,
    StoreFolders,
    TakenBlobs,
    missing_request,
)
from mecapy_jupyter.wire.comms import (
    COMM,
    COMM_KINDS,
    COMMS_BYTES,
    MODEL_PREFIX,
    UPDATES,
    WIDGET_TARGET,
    WIDGET_VIEW,
    CommEvent,
    CommKind,
)
from mecapy_jupyter.wire.defaults import (
    BUNDLE,
    CALLED,
    CALLS,
    INLINE_BYTES,
    MACHINE_HOURS,
    POOL,
    PRIORITY,
    RESULT,
    TIMEOUT_S,
    TIMES,
    WORKER_LIVES_S,
)
from mecapy_jupyter.wire.events import (
    DISPLAY,
    DISPLAY_KINDS,
    LIMIT,
    PROGRESS,
    STARTED,
    STDERR,
    STDOUT,
    USAGE,
    DisplayEvent,
    DisplayKind,
    Event,
    EventBody,
    LimitEvent,
    ProgressEvent,
    QueuedEvent,
    StartedEvent,
    StderrEvent,
    StdoutEvent,
    UsageEvent,
)
from mecapy_jupyter.wire.json_fields import Json, JsonObject
from mecapy_jupyter.wire.machines import (
    ANY_GPU,
    BOOTING,
    DRAINING,
    GONE,
    SERVING,
    STOPPING,
    WANTED,
    ClassInfo,
    MachineInfo,
    MachinesInfo,
    MachineState,
    Resources,
)
from mecapy_jupyter.wire.needs import MOST_NEEDS, NEED, NEED_CHARS, Need
from mecapy_jupyter.wire.outcome import ErrorInfo, Outcome, Payload
from mecapy_jupyter.wire.people import LoginLink, LoginOffer, Me, Quota, TokenInfo, TokenRequest
from mecapy_jupyter.wire.readiness import Readiness
from mecapy_jupyter.wire.result_cache import CachedRun, CacheEntry, CacheKeys, CacheList
from mecapy_jupyter.wire.states import (
    BLOCKED,
    CANCELLED,
    COMPLETED,
    FAILED,
    FINAL,
    QUEUED,
    RUNNING,
    WAITING,
    ErrorKind,
    State,
)
from mecapy_jupyter.wire.sweeps import (
    MOST_POINTS,
    PAUSED,
    SweepList,
    SweepRequest,
    SweepState,
    SweepStatus,
    SweepTask,
)
from mecapy_jupyter.wire.tasks import (
    Attempt,
    Cell,
    TaskLimit,
    TaskPage,
    TaskRequest,
    TaskStatus,
)
from mecapy_jupyter.wire.workers import (
    ConfinementInfo,
    Distribution,
    InstalledPackages,
    WorkerInfo,
)
from mecapy_jupyter.wire.workflows import (
    WorkflowState,
    WorkflowStatus,
    WorkflowTask,
)

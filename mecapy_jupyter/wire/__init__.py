"""The contract: every shape that travels between notebook, gateway and worker, and the defaults
they agree on. Standard library only; all sides import it.

A frozen dataclass here is one thing that travels; `as_json` and `from_json` are its only two forms.
Fields that are not known are ignored and absent ones have their defaults, so that a client and a
gateway of different releases understand each other.
"""

from mecapy_jupyter.wire.accounts import Limits, MonthlyUse, OrganisationInfo, TaskOfUser, UserInfo
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
    MODEL_PREFIX,
    WIDGET_TARGET,
    WIDGET_VIEW,
    CommEvent,
    CommKind,
)
from mecapy_jupyter.wire.defaults import (
    CALLED,
    INLINE_BYTES,
    POOL,
    PRIORITY,
    TIMEOUT_S,
    WORKER_LIVES_S,
)
from mecapy_jupyter.wire.events import (
    DISPLAY,
    DISPLAY_KINDS,
    PROGRESS,
    STARTED,
    STDERR,
    STDOUT,
    USAGE,
    DisplayEvent,
    DisplayKind,
    Event,
    EventBody,
    ProgressEvent,
    QueuedEvent,
    StartedEvent,
    StderrEvent,
    StdoutEvent,
    UsageEvent,
)
from mecapy_jupyter.wire.json_fields import Json, JsonObject
from mecapy_jupyter.wire.outcome import ErrorInfo, Outcome, Payload
from mecapy_jupyter.wire.people import LoginOffer, Me, Quota, TokenInfo, TokenRequest
from mecapy_jupyter.wire.readiness import Readiness
from mecapy_jupyter.wire.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    FINAL,
    QUEUED,
    RUNNING,
    ErrorKind,
    State,
)
from mecapy_jupyter.wire.tasks import Attempt, Cell, TaskPage, TaskRequest, TaskStatus
from mecapy_jupyter.wire.workers import (
    ConfinementInfo,
    Distribution,
    InstalledPackages,
    WorkerInfo,
)

__all__ = [
    "CALLED",
    "CANCELLED",
    "COMM",
    "COMM_KINDS",
    "COMPLETED",
    "DISPLAY",
    "DISPLAY_KINDS",
    "FAILED",
    "FINAL",
    "INLINE_BYTES",
    "MODEL_PREFIX",
    "POOL",
    "PRIORITY",
    "PROGRESS",
    "QUEUED",
    "RUNNING",
    "STARTED",
    "STDERR",
    "STDOUT",
    "TIMEOUT_S",
    "USAGE",
    "WIDGET_TARGET",
    "WIDGET_VIEW",
    "WORKER_LIVES_S",
    "Attempt",
    "BlobSize",
    "Cell",
    "CommEvent",
    "CommKind",
    "ConfinementInfo",
    "DisplayEvent",
    "DisplayKind",
    "Distribution",
    "ErrorInfo",
    "ErrorKind",
    "Event",
    "EventBody",
    "InstalledPackages",
    "Json",
    "JsonObject",
    "Limits",
    "LoginOffer",
    "Me",
    "MissingBlob",
    "MissingBlobs",
    "MonthlyUse",
    "OrganisationInfo",
    "Outcome",
    "PartUrls",
    "Payload",
    "ProgressEvent",
    "QueuedEvent",
    "Quota",
    "Readiness",
    "StartedEvent",
    "State",
    "StderrEvent",
    "StdoutEvent",
    "StoreFolders",
    "TakenBlobs",
    "TaskOfUser",
    "TaskPage",
    "TaskRequest",
    "TaskStatus",
    "TokenInfo",
    "TokenRequest",
    "UsageEvent",
    "UserInfo",
    "WorkerInfo",
    "missing_request",
]

"""The state machine of tasks in PostgreSQL. Callers say `tasks.submit`, `tasks.start` …"""

# What is imported here is what there is, so the names need no second list.
# ruff: noqa: F401
# pyright: reportUnusedImport=false

from mecapy_backend.store.tasks.cancelling import Cancellation, cancel, cancel_below
from mecapy_backend.store.tasks.extension import Extended, extend
from mecapy_backend.store.tasks.graph import (
    Needed,
    OtherPythons,
    ParentResult,
)
from mecapy_backend.store.tasks.leases import (
    LEFT,
    LOST,
    Expired,
    Lease,
    forget_checkpoint,
    keep_checkpoint,
    lost_outcome,
    mark_network_used,
    once_outcome,
    reclaim_expired,
    renew,
    requeue,
)
from mecapy_backend.store.tasks.lookup import (
    QueuedTask,
    TaskRow,
    due_again,
    get,
    mean_run_s,
    page,
    queue_heads,
    queued_tasks,
    request,
    stored_log,
)
from mecapy_backend.store.tasks.sharing import owner_of_shared, set_shared
from mecapy_backend.store.tasks.submission import (
    BlobsNotStored,
    Conflict,
    NoSuchParents,
    NoSuchWorkflow,
    Submitted,
    TaskPlace,
    TooManyQueued,
    submit,
)
from mecapy_backend.store.tasks.transitions import (
    Finished,
    StartedAttempt,
    finish,
    forget,
    start,
)

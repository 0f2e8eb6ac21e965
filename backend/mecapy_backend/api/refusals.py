"""Refusals of the store as problem documents."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from mecapy_backend.api.limits.allowance import queue_full
from mecapy_backend.api.problems import Problem, misunderstood, no_such_task, no_such_workflow
from mecapy_backend.store import tasks


@contextmanager
def as_problems(workflow_id: str = "") -> Generator[None]:
    """Raises Problem for what `tasks.submit` raises."""
    try:
        yield
    except tasks.Conflict:
        detail = "this Idempotency-Key was used for another body; use a new key for a new request"
        raise Problem(422, "key-conflict", detail) from None
    except tasks.TooManyQueued as over:
        raise queue_full("you", over.limit) from None
    except tasks.NoSuchParents as missing:
        raise no_such_task(missing.task_ids[0], "needs: ") from None
    except tasks.NoSuchWorkflow:
        raise no_such_workflow(workflow_id) from None
    except tasks.OtherPythons as others:
        detail = (
            f"needs: their results are pickles of Python {' and '.join(others.pythons)}, which do "
            f"not open each other's; submit all of them from one version"
        )
        raise misunderstood(detail) from None
    except tasks.BlobsNotStored as missing:
        detail = (
            "blobs named here are not stored (any more); ask POST /blobs/missing, upload "
            "what it names, and submit again"
        )
        raise Problem(409, "blobs-missing", detail, missing=missing.digests) from None
    except ValueError:
        detail = "inputs hold a number that JSON cannot carry (NaN, infinite, thousands of digits)"
        raise misunderstood(detail) from None

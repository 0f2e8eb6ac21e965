"""Defaults and bounds that more than one process must agree on, each in this one place."""

from __future__ import annotations

TIMEOUT_S = 300.0
"""The run time of a task whose request does not give one."""

TIMES = " × "
"""Stands in a task's name between the name of a map and the number of its calls."""

PRIORITY = 5
"""The priority of a task whose request does not give one: 0 to 9, 9 starts first."""

POOL = "pool"
"""The class of machines that serves tasks which ask for no resources."""

MACHINE_HOURS = "MECAPY_MACHINE_HOURS"
"""In the environment of a new machine: it stops after this time, because its keys of the object
store end.
"""

WORKER_LIVES_S = 10.0
"""A worker that has been silent for this long counts as gone in lists, estimates and metrics."""

INLINE_BYTES = 64 * 1024
"""A pickle stream up to this size travels inside the request or result; a longer one, and every
out-of-band buffer, is a blob.
"""

CALLED = "_mecapy_fn"
"""The variable with the function where a task calls one (`Client.submit`, `map`): results are
copies, as of any executor of processes.
"""

CALLS = "_mecapy_calls"
"""The variable with the arguments of each call where several share a task."""

RESULT = "_mecapy_result"
"""The variable with what such a function returned, which becomes the Future's result."""

BUNDLE = "_mecapy_bundle"
"""The variable with several calls that share a child (`travel.call_bundle`)."""

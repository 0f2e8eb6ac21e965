"""Defaults and bounds that more than one process must agree on, each in this one place."""

from __future__ import annotations

TIMEOUT_S = 300.0
"""A task may run so long where its request does not say."""

TIMES = " × "
"""In the name of a task between the name of a map and the number of its calls."""

PRIORITY = 5
"""Of a task whose request does not say: 0 to 9, 9 starts first."""

POOL = "pool"
"""The class of machines that serves tasks which ask for no resources."""

MACHINE_HOURS = "MECAPY_MACHINE_HOURS"
"""In the environment of a new machine: it leaves after so long, because its keys of the object
store end.
"""

WORKER_LIVES_S = 10.0
"""A worker that was not heard of for so long counts as gone: in lists, estimates and figures."""

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

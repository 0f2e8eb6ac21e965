"""Names a call, or a whole task, by its content: what the code and its helpers do, the values, the
versions of the packages in use. Equal in every kernel, so a result can be found again. Never a hash
of a pickle of code: that differs from kernel to kernel.
"""

from mecapy_jupyter.content_key.call_key import FunctionKey, function_key, value_digest
from mecapy_jupyter.content_key.content import NoContentKey
from mecapy_jupyter.content_key.task_key import TaskContent, TaskKey, task_key

__all__ = [
    "FunctionKey",
    "NoContentKey",
    "TaskContent",
    "TaskKey",
    "function_key",
    "task_key",
    "value_digest",
]

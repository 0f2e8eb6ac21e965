"""Names a call by its content: what the function and its helpers do, the arguments, the versions of
the packages in use. Equal in every kernel, so a result can be found again. Never a hash of a pickle
of code: that differs from kernel to kernel.
"""

from mecapy_jupyter.content_key.call_key import FunctionKey, function_key, value_digest
from mecapy_jupyter.content_key.content import NoContentKey

__all__ = ["FunctionKey", "NoContentKey", "function_key", "value_digest"]

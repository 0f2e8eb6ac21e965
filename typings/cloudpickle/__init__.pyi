# What MecaPy uses of cloudpickle, which ships no types.
import pickle
from collections.abc import Callable
from types import FunctionType
from typing import Any, BinaryIO

class Pickler(pickle.Pickler):
    globals_ref: dict[int, Any]
    def __init__(
        self,
        file: BinaryIO,
        protocol: int | None = None,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    ) -> None: ...
    def _dynamic_function_reduce(self, func: FunctionType) -> tuple[Any, ...]: ...

def dumps(
    obj: Any,
    protocol: int | None = None,
    buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
) -> bytes: ...

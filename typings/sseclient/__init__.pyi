# What MecaPy uses of sseclient-py, which ships no types.
from collections.abc import Iterable, Iterator

class Event:
    id: str | None
    event: str
    data: str

class SSEClient:
    def __init__(self, event_source: Iterable[bytes], char_enc: str = "utf-8") -> None: ...
    def events(self) -> Iterator[Event]: ...

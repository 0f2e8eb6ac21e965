"""The number of the stream format, at the head of each stream.

A stream names functions and classes of this package and relies on equal numbering, so another
format would open wrongly and is refused. Raise the number when older code would misread a stream,
or this code an older one.
"""

from __future__ import annotations

import io

from mecapy_jupyter.shared.errors import CannotReceive

_NAME = b"mecapy:"
HEAD = _NAME + b"10\n"
"""The first format had no head and began like a pickle."""


def begin(stream: bytes | bytearray | memoryview) -> io.BytesIO:
    """The stream, read up to the first pickle. Raises CannotReceive for another format."""
    file = io.BytesIO(stream)
    head = file.read(len(HEAD))
    if head != HEAD:
        age = "a newer" if head.startswith(_NAME) else "an older"
        raise CannotReceive(
            f"these values were packed by {age} version of mecapy_jupyter than the "
            "one that opens them. Notebook and workers need the same; update the "
            "client: pip install -U mecapy_jupyter, restart the kernel and run the "
            "cell again. If it is the newest, the workers are older: tell their "
            "operators"
        )
    return file

"""Writes the buffers of a result into files for the worker, near the end of a child.

The memory behind a buffer is freed piece by piece while it is written, so that the file can use the
same pages; finding new ones would take longer than the copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mecapy_jupyter.travel.pickling import buffer_file, known_blobs, memory_pages


def write(outbox: str, buffers: Sequence[memoryview]) -> list[str]:
    """Write each buffer into a file; returns their names in order. The buffers lose their
    content.
    """
    places = [(known_blobs.address_of(buffer), buffer.nbytes) for buffer in buffers]
    for number, buffer in enumerate(buffers):
        address, size_bytes = places[number]
        # What overlaps a later one is needed for that, too.
        if address is None or any(
            _overlap(places[number], later) for later in places[number + 1 :]
        ):
            buffer_file.write(f"{outbox}/{number}", buffer)
        else:
            buffer_file.write(f"{outbox}/{number}", buffer, _gives_back(address, size_bytes))
    return [str(number) for number in range(len(buffers))]


def add(outbox: str, name: str, content: bytes) -> list[str]:
    """One more file, whose content we keep."""
    buffer_file.write(f"{outbox}/{name}", memoryview(content))
    return [name]


def _overlap(one: tuple[int | None, int], other: tuple[int | None, int]) -> bool:
    if one[0] is None or other[0] is None:
        return True
    return (
        one[0] < other[0] + other[1] + memory_pages.PAGE_BYTES
        and other[0] < one[0] + one[1] + memory_pages.PAGE_BYTES
    )


def _gives_back(address: int, size_bytes: int) -> Callable[[int, int], object]:
    """A step for `bufferfile.write`: give back what was written, whole pages, and of large pages no
    part, which would only split them.
    """
    given = -(-address // memory_pages.PAGE_BYTES) * memory_pages.PAGE_BYTES

    def written(start: int, end: int) -> None:
        nonlocal given
        page_bytes = buffer_file.LARGE_PAGE_BYTES if end < size_bytes else memory_pages.PAGE_BYTES
        upto = (address + end) // page_bytes * page_bytes
        if upto > given:
            memory_pages.give_back(given, upto - given)
            given = upto

    return written

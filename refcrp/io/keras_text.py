"""Checks before the HDF5 library reads text of variable length, in which it believes what a file says.

Such text lies in a heap: damage there makes the library loop for ever, and for a text said to have 4 GB it
takes the memory before it looks. Both are found here in the bytes of the file.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

__all__ = ["text_problem"]


def text_problem(path: Path, attribute: str, most: int) -> str | None:
    """Say what is wrong with an attribute of at most so many bytes, or with any heap of texts in the file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for start in places(data, b"GCOL\1"):
            if not is_whole_heap(data, start):
                return f"damaged heap of texts at byte {start}"
        lengths = [n for name in places(data, attribute.encode() + b"\0") for n in text_lengths(data, name)]
    if not lengths:
        return "not found in the file"
    return f"text of {max(lengths)} bytes, more than {most}" if max(lengths) > most else None


def places(data: mmap.mmap, word: bytes) -> Iterator[int]:
    """Go through the places of a word."""
    place = data.find(word)
    while place >= 0:
        yield place
        place = data.find(word, place + 1)


def number(data: mmap.mmap, place: int, size: int) -> int:
    """Read a little-endian number."""
    return int.from_bytes(data[place : place + size], "little")


def is_whole_heap(data: mmap.mmap, start: int) -> bool:
    """Tell whether the objects of a heap fill it.

    A heap is "GCOL", a version, and its size; then objects, each with a head of 16 bytes that ends with its
    size. Number 0 is the free space at the end, and its size counts the head.
    """
    place, end = start + 16, start + number(data, start + 8, 8)
    good = place <= end <= len(data)
    while good and end - place >= 16:
        size = number(data, place + 8, 8)
        if number(data, place, 2):
            size = 16 + -(-size // 8) * 8
        good = 16 <= size <= end - place
        place += size
    return good


def text_lengths(data: mmap.mmap, name: int) -> Iterator[int]:
    """Read how long an attribute's text is said to be, where its name stands in the file.

    Before the name are a version and the sizes of name, type and shape, which follow it, in version 1 each
    rounded up to 8 bytes; then come the length, and where in which heap the text lies. In version 3 one byte
    more, of the name's alphabet, is before the name. Other uses of the word give nothing.
    """
    for head, versions in ((8, (1, 2)), (9, (3,))):
        if name >= head and data[name - head] in versions:
            sizes = [number(data, name - head + k, 2) for k in (2, 4, 6)]
            rounded = 8 if data[name - head] == 1 else 1
            yield number(data, name + sum(-(-size // rounded) * rounded for size in sizes), 4)

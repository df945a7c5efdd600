"""Plain text in columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["aligned"]


def aligned(
    rows: Sequence[Sequence[str]], separators: Sequence[str], right: Sequence[int] = ()
) -> Iterator[str]:
    """Write rows of cells as lines with aligned columns.

    Parameters
    ----------
    rows : sequence of equally long sequences of str
    separators : sequence of str
        What stands between one column and the next; the last one is repeated.
    right : sequence of int
        The columns to align to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        line = cells[0]
        for i, cell in enumerate(cells[1:]):
            line += separators[min(i, len(separators) - 1)] + cell
        yield line.rstrip()

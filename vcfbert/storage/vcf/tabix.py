"""Writer of the tabix index of a VCF.gz, from what the writer of the file knows.

Reading the file again would take one thread as long as writing takes two. The format: the tabix
specification of hts-specs. Coordinates are 0-based and half-open; a *virtual offset* is the offset
of a block in the file, shifted by 16 bits, plus an offset in the inflated block.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAST_POSITION = 1 << 29
"""Bins end here; longer contigs need a CSI index."""

_VCF, _CONTIG_COLUMN, _POSITION_COLUMN = 2, 1, 2
_COMMENT = ord("#")
_LEVELS = ((14, 4681), (17, 585), (20, 73), (23, 9), (26, 1))  # log2 of size, number of first bin
_WINDOW = 14  # log2 of the windows of the linear index
STATISTICS_BIN = 37450
"""Number of the bin that holds counts instead of offsets."""


@dataclass(frozen=True)
class IndexedLines:
    """The records of a file, in order.

    contig      (n,) numbers; the records of a contig are adjacent
    begin, end  (n,) 0-based, half-open, `begin` rising in each contig
    start       (n,) virtual offset of each line
    stop        (n,) virtual offset past it
    """

    contig: NDArray[np.int64]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    start: NDArray[np.uint64]
    stop: NDArray[np.uint64]


def index(names: Sequence[str], lines: IndexedLines) -> bytes:
    """The index, not compressed yet.

    names  of the contigs, by number; contigs without records are left out
    """
    edges = np.flatnonzero(np.diff(lines.contig, prepend=-1, append=-1)).tolist()
    present = [names[lines.contig[first]] for first in edges[:-1]]
    text = b"".join(name.encode() + b"\0" for name in present)
    head = struct.pack(
        "<4s8i", b"TBI\1", len(present), _VCF, _CONTIG_COLUMN, _POSITION_COLUMN, 0, _COMMENT, 0,
        len(text),
    )  # fmt: skip
    contigs = [_contig(lines, slice(first, stop)) for first, stop in itertools.pairwise(edges)]
    return b"".join((head, text, *contigs, struct.pack("<Q", 0)))


def bins(begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """The smallest bin that contains each interval.

    >>> bins(np.array([0, 16383, 0]), np.array([1, 16385, 1 << 29]))
    array([4681,  585,    0])
    """
    number = np.zeros(len(begin), np.int64)
    for shift, first in reversed(_LEVELS):
        first_part = begin >> shift
        number = np.where(first_part == (end - 1) >> shift, first + first_part, number)
    return number


def virtual_offsets(
    places: NDArray[np.int64], block_starts: NDArray[np.int64], block_bytes: int
) -> NDArray[np.uint64]:
    """Virtual offsets of offsets in the inflated file, whose blocks all have the same size.

    places        (n,)
    block_starts  (b,) places of the blocks in the file, and of its end
    """
    block, inside = np.divmod(places, block_bytes)
    return (block_starts[block].astype(np.uint64) << np.uint64(16)) | inside.astype(np.uint64)


def _contig(lines: IndexedLines, rows: slice) -> bytes:
    begin, end = lines.begin[rows], lines.end[rows]
    start, stop = lines.start[rows], lines.stop[rows]
    number = bins(begin, end)
    runs = np.flatnonzero(np.diff(number, prepend=-1))
    last = np.append(runs[1:], len(number)) - 1
    chunks: dict[int, list[int]] = {}
    pieces = zip(number[runs].tolist(), start[runs].tolist(), stop[last].tolist(), strict=True)
    for key, low, high in pieces:
        known = chunks.setdefault(key, [])
        if known and known[-1] >> 16 == low >> 16:
            known[-1] = high  # one read covers both
        else:
            known += [low, high]
    chunks[STATISTICS_BIN] = [int(start[0]), int(stop[-1]), len(number), 0]
    parts = [struct.pack("<i", len(chunks))]
    for key, places in chunks.items():
        parts.append(struct.pack(f"<Ii{len(places)}Q", key, len(places) // 2, *places))
    linear = _linear(begin, end, start)
    return b"".join((*parts, struct.pack("<i", len(linear)), linear.astype("<u8").tobytes()))


def _linear(
    begin: NDArray[np.int64], end: NDArray[np.int64], start: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Offset of the first line that reaches into each window of 16 kb, or comes after it."""
    first, last = begin >> _WINDOW, (end - 1) >> _WINDOW
    unknown = np.iinfo(np.uint64).max
    linear = np.full(int(last.max()) + 1, unknown, np.uint64)
    np.minimum.at(linear, first, start)
    for row in np.flatnonzero(last > first).tolist():
        reached = linear[first[row] : last[row] + 1]
        np.minimum(reached, start[row], out=reached)
    # In a window without lines, a reader begins at the line before.
    linear[0] = min(linear[0], start[0])
    known = np.maximum.accumulate(np.where(linear == unknown, 0, np.arange(len(linear))))
    return linear[known]

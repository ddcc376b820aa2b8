"""The records of several files with the same sites, some at a time, and their columns as one.

k files, n records. The bytes of the sample columns are copied as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.errors import InputError
from vcfbert.storage.vcf import column_kernels as kernels
from vcfbert.storage.vcf.batch_headers import ImputedFile
from vcfbert.storage.vcf.bgzf import Workers
from vcfbert.storage.vcf.line_blocks import LineSource

MEMORY = 1 << 24
"""Bytes of lines of all files at the same time."""

_LEAST_PIECE, _MOST_PIECE = 1 << 16, 1 << 22
_SITE = (kernels.CHROM, kernels.POS, kernels.REF, kernels.ALT)
_TAB, _NEWLINE = b"\t\n"


@dataclass(frozen=True)
class FileLines:
    """Lines of one file; `columns` as in `column_kernels`."""

    path: Path
    text: NDArray[np.uint8]
    ends: NDArray[np.int64]
    columns: NDArray[np.int64]

    def column(self, row: int, which: int) -> str:
        """One column of a line."""
        if which == 0:
            start = int(self.ends[row - 1]) if row else 0
        else:
            start = int(self.columns[row, which - 1])
        return self.text[start : self.columns[row, which] - 1].tobytes().decode("utf-8", "replace")

    def site(self, row: int) -> str:
        """A site for messages."""
        contig, position, ref, alt = (self.column(row, which)[:40] for which in _SITE)
        return f"{contig}:{position} {ref}>{alt}"


@dataclass(frozen=True)
class JoinedLines:
    """The same records of all files.

    first      number of the first record, from 0
    positions  (n,)
    """

    files: list[FileLines]
    first: int
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.positions)

    def written(self, heads: Sequence[bytes], workers: Workers) -> tuple[bytes, NDArray[np.int64]]:
        """Whole lines, and the offset past each.

        heads  n beginnings of lines, CHROM to FORMAT, each with a tab at the end
        """
        lengths = np.stack([kernels.cell_bytes(f.text, f.ends, f.columns) for f in self.files])
        head_lengths = np.array([len(head) for head in heads], np.int64)
        ends = np.cumsum(head_lengths + lengths.sum(axis=0))
        starts = np.append(0, ends[:-1])
        out = np.empty(int(ends[-1]), np.uint8)
        text = np.frombuffer(b"".join(heads), np.uint8)
        kernels.copy_heads(text, np.cumsum(head_lengths), out, starts)
        places = starts + head_lengths + np.cumsum(lengths, axis=0) - lengths

        def copy(number: int) -> None:
            file = self.files[number]
            separator = _NEWLINE if number == len(self.files) - 1 else _TAB
            kernels.copy_cells(
                file.text, file.columns, lengths[number], separator, out, places[number]
            )

        for _ in workers.in_order(copy, range(len(self.files))):
            pass
        return out.tobytes(), ends


def read(
    batches: Sequence[ImputedFile], workers: Workers, advance: Callable[[int], None]
) -> Iterator[JoinedLines]:
    """The records of all files, in memory that does not grow with their number.

    advance  called with a number of bytes that have been read

    Raises InputError at the first record that is not the same site, or has other FORMAT fields, in
    two files.
    """
    piece = min(max(MEMORY // len(batches), _LEAST_PIECE), _MOST_PIECE)
    sources = [LineSource(batch.path, batch.header, piece) for batch in batches]
    order = _RisingSites()
    first = done = 0
    while True:
        counts = list(workers.in_order(LineSource.fill, sources))
        count = min(counts)
        if count == 0:
            _check_ended(sources, counts, first)
            return
        tasks = [
            (batch, source, count, first) for batch, source in zip(batches, sources, strict=True)
        ]
        files = list(workers.in_order(_parsed, tasks))
        for number, other in enumerate(files[1:], start=1):
            _check_same(files[0], other, first)
            files[number] = _with_fields_of(files[0], other)
        positions = kernels.positions(files[0].text, files[0].columns)
        order.check(files[0], positions, first)
        yield JoinedLines(files, first, positions)
        first += count
        read_bytes = sum(source.read_bytes for source in sources)
        advance(read_bytes - done)
        done = read_bytes


def _parsed(task: tuple[ImputedFile, LineSource, int, int]) -> FileLines:
    """The next lines of a file: its batch, its lines, how many, and how many came before."""
    batch, source, count, first = task
    block, needed = source.take(count), batch.header.num_columns
    columns, row, found = kernels.find_columns(block.text, block.ends, needed)
    if row >= 0:
        raise InputError(
            f"{batch.path}, record {first + row + 1}: the line has {found} columns, but the "
            f"header has {needed}. Copy or download the file again."
        )
    return FileLines(batch.path, block.text, block.ends, columns)


def _check_same(one: FileLines, two: FileLines, first: int) -> None:
    """Raise InputError at the first record that is another site."""
    pair = one.text, one.ends, one.columns, two.text, two.ends, two.columns
    rows = [kernels.first_difference(*pair, which, 0) for which in _SITE]
    rows = [row for row in rows if row >= 0]
    if rows:
        row = min(rows)
        raise InputError(
            f"{two.path}, record {first + row + 1}: the site is {two.site(row)}, but "
            f"{one.site(row)} in {one.path}. All files need the same sites in the same order. "
            "Impute all batches with the same panel and options, or keep the common sites: "
            "bcftools isec -n=2 -c none"
        )


def _with_fields_of(one: FileLines, two: FileLines) -> FileLines:
    """The second file with the fields of its cells in the order of the first.

    Two runs of Minimac4 may differ in it. Raises InputError at the first record with other fields.
    """
    pair = one.text, one.ends, one.columns, two.text, two.ends, two.columns
    row = kernels.first_difference(*pair, kernels.FORMAT, 0)
    if row < 0:
        return two
    text = two.text.copy()
    is_left = np.ones(len(two.ends), np.bool_)
    while row >= 0:
        here, there = (file.column(row, kernels.FORMAT) for file in (one, two))
        fields, found = here.split(":"), there.split(":")
        alike = kernels.has_format_of(one.text, one.columns, row)
        alike &= kernels.has_format_of(two.text, two.columns, row) & is_left
        bad = row
        if sorted(fields) == sorted(found):
            order = np.array([found.index(field) for field in fields], np.int64)
            bad = kernels.reorder_fields(text, two.ends, two.columns, alike, order)
        if bad >= 0:
            raise InputError(
                f"{two.path}, {two.site(bad)}: the FORMAT fields are {there}, but {here} in "
                f"{one.path}. Impute all batches with the same --format, or remove fields with: "
                "bcftools annotate -x FORMAT/NAME"
            )
        is_left &= ~alike
        row = kernels.first_difference(*pair, kernels.FORMAT, row + 1)
        while row >= 0 and not is_left[row]:
            row = kernels.first_difference(*pair, kernels.FORMAT, row + 1)
    text.flags.writeable = False
    return FileLines(two.path, text, two.ends, two.columns)


def _check_ended(sources: Sequence[LineSource], counts: Sequence[int], done: int) -> None:
    """Raise InputError unless all files have ended after as many records."""
    if done == 0 and not any(counts):
        raise InputError(f"{sources[0].path} has no records. Give another file.")
    longer = next((n for n, count in enumerate(counts) if count), None)
    if longer is not None:
        shorter = sources[list(counts).index(0)].path
        raise InputError(
            f"{shorter} has {plurals.of(done, 'record')}, but {sources[longer].path} has more. All "
            "files need the same sites. Copy the file again, or impute all batches with the same "
            "panel and options."
        )


class _RisingSites:
    """Check that records are sorted, which the index needs."""

    def __init__(self) -> None:
        self._past: set[str] = set()
        self._contig = ""
        self._position = 0

    def check(self, file: FileLines, positions: NDArray[np.int64], first: int) -> None:
        """Raise InputError if a record belongs before the previous one."""
        for start, stop, contig in contig_runs(file):
            if contig != self._contig:
                if contig in self._past:
                    raise self._unsorted(file, start, first)
                self._past.add(contig)
                self._contig, self._position = contig, 0
            steps = np.diff(positions[start:stop], prepend=self._position)
            if (steps < 0).any():
                raise self._unsorted(file, start + int(np.argmax(steps < 0)), first)
            self._position = int(positions[stop - 1])

    def _unsorted(self, file: FileLines, row: int, first: int) -> InputError:
        return InputError(
            f"{file.path}, record {first + row + 1}: the records are not sorted; {file.site(row)} "
            "belongs before the record above it. Sort each file with: bcftools sort"
        )


def contig_runs(file: FileLines) -> Iterator[tuple[int, int, str]]:
    """Ranges of lines of one contig, with its name."""
    start = 0
    while start < len(file.ends):
        stop = start + kernels.length_of_contig(file.text, file.ends, file.columns, start)
        yield start, stop, file.column(start, kernels.CHROM)
        start = stop

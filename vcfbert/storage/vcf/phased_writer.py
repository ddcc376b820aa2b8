"""Writer of a target's own records with phased genotypes.

Lines are copied as text, so that all columns stay as they are. The file has been read and checked
before by `VcfFile`.

N samples, T typed sites.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vcfbert.domain.filled_calls import FilledGenotypes
from vcfbert.domain.phased_calls import NO_QUALITY, UNPHASED, PhasedCalls
from vcfbert.domain.sites import Region
from vcfbert.errors import InputError
from vcfbert.storage.vcf import (
    checks,
    file_sets,
    output_file,
    phased_cells,
    structural,
    tabix,
    variants,
)
from vcfbert.storage.vcf.checks import NUM_FIXED, Header
from vcfbert.storage.vcf.file_sets import Follower
from vcfbert.storage.vcf.output_file import Sink
from vcfbert.storage.vcf.phased_cells import PhasedCells, RecordOrder, WrittenGenotypes

_GENOTYPE = b'##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">'
_DECLARED = (
    b'##FORMAT=<ID=PS,Number=1,Type=Integer,Description="Phase set: position of its first phased '
    b'heterozygote">',
    b'##FORMAT=<ID=PQ,Number=1,Type=Integer,Description="Phred-scaled probability that the order '
    b'relative to the heterozygote before is wrong">',
)
_FILL_QUALITY = (
    b'##FORMAT=<ID=FQ,Number=1,Type=Integer,Description="Phred-scaled probability that a filled '
    b'genotype is wrong; only at genotypes that were missing">'
)
_REPLACED_IF_FILLED = re.compile(rb"##FORMAT=<ID=FQ[,>]")
_REPLACED = re.compile(rb"##FORMAT=<ID=(?:PS|PQ)[,>]")
_NUMBER_IN_BCF = re.compile(rb",IDX=\d+(?=>$)")
_AT_ONCE = 1 << 20  # bytes of text that are passed on together
_LONGEST = 1 << 31  # bytes of a line


@dataclass(frozen=True)
class PhasedFile:
    """Counts of a file that was written."""

    records: int
    genotypes: WrittenGenotypes


def write(
    source: Path,
    path: Path,
    calls: PhasedCalls,
    *,
    lines: Sequence[str],
    region: Region | None,
    contigs: Mapping[str, str],
    threads: int,
    overwrite: bool,
    filled: FilledGenotypes | None = None,
    keeps_sets: bool = False,
    before_renaming: Callable[[], None] = lambda: None,
) -> PhasedFile:
    """Write the records of a file with the order of genotypes that was found.

    source   .vcf, .vcf.gz or .bcf
    path     as `output_file.create` takes it
    lines    of the header, `##key=value`, to add
    region   write only records that begin in this region, whose contig has the panel's name
    contigs  the panel's name of contigs of the file
    threads  for compression; the file is the same for any number
    filled   genotypes that were missing, to write with FQ; None leaves them missing
    keeps_sets  heterozygotes of unknown order follow the phase sets of the file
    before_renaming  called when the file is complete

    Raises InputError if a record cannot be written as BCF or the file has changed, StoreError if
    the output exists or cannot be written.
    """
    header = checks.read_header(source)
    records = _Records(source, header, calls, region, contigs, filled, keeps_sets=keeps_sets)

    def write_index(partial: Path, sink: Sink) -> None:
        needs_csi = output_file.is_bcf(path) or records.last >= tabix.LAST_POSITION
        output_file.index_with_htslib(partial, csi=needs_csi)

    with output_file.create(
        path, write_index, threads=threads, overwrite=overwrite, before_renaming=before_renaming
    ) as (sink, _):
        _pass_on(sink, _header_text(source, header, lines, fills=filled is not None), source)
        batch, size = [], 0
        for line in records.lines():
            batch.append(line)
            size += len(line)
            if size > _AT_ONCE:
                _pass_on(sink, b"".join(batch), source)
                batch, size = [], 0
        if batch:
            _pass_on(sink, b"".join(batch), source)
    return PhasedFile(records.count, records.cells.tally)


def _pass_on(sink: Sink, text: bytes, source: Path) -> None:
    """Write lines. Raises InputError if htslib cannot write them as BCF."""
    try:
        sink.write(text)
    except Exception as error:  # cyvcf2 has no class of its own
        if isinstance(error, OSError) or not variants.is_stop(error):
            raise
        raise InputError(
            f"{source} cannot be written as BCF, because its header does not declare a FILTER, "
            f"INFO or FORMAT field or declares another type ({error}). Write .vcf.gz."
        ) from error


class _Records:
    """The records of a file, with their genotypes phased.

    last   the last position that a record covers, of those that were written
    count  of records that were written
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        calls: PhasedCalls,
        region: Region | None,
        contigs: Mapping[str, str],
        filled: FilledGenotypes | None,
        *,
        keeps_sets: bool,
    ) -> None:
        self.cells = PhasedCells(calls.is_kept, fills=filled is not None)
        self._filled = filled
        self._records_filled = set() if filled is None else set(filled.record.tolist())
        self.last = self.count = 0
        self._path = path
        self._header = header
        self._calls = calls
        self._region = region
        self._contigs = contigs
        self._followers: Mapping[int, list[Follower]] = {}
        if keeps_sets:
            every = (line.split(b"\t") for line in _lines(path, header))
            self._followers = file_sets.followers(every, calls, filled, self._is_written)

    def lines(self) -> Iterator[bytes]:
        """Whole lines."""
        rows = self._calls.rows()
        records, ends = self._calls.rows_by_record()
        done = first = 0
        for number, line in enumerate(_lines(self._path, self._header)):
            found = None
            if done < len(records) and records[done] == number:
                found = self._order(rows[first : ends[done]].tolist())
                first = int(ends[done])
                done += 1
            if number in self._followers:
                found = self._joined(found, self._followers[number])
            columns = line.split(b"\t")
            if len(columns) != self._header.num_columns:
                raise self._changed()
            if self._is_written(columns[0], int(columns[1])):
                yield self._phased(columns, found, number)
        if done < len(records):
            raise self._changed()

    def _phased(self, columns: list[bytes], found: RecordOrder | None, number: int) -> bytes:
        contig, position, _, ref, *_, info, format_ = columns[:NUM_FIXED]
        end = structural.end_of(info.decode("latin-1"), int(position), ref.decode("latin-1"))
        self.last = max(self.last, end)
        self.count += 1
        if format_.split(b":")[0] != b"GT":
            return b"\t".join(columns) + b"\n"
        format_, cells = self.cells.write(
            contig, int(position), format_, columns[NUM_FIXED:], found, self._to_fill(number)
        )
        return b"\t".join((*columns[: NUM_FIXED - 1], format_, *cells)) + b"\n"

    def _to_fill(self, number: int) -> FilledGenotypes | None:
        """Genotypes to fill in a record; None if there are none."""
        if self._filled is None or number not in self._records_filled:
            return None
        return self._filled.of_record(number)

    def _order(self, rows: list[int]) -> RecordOrder:
        """What was found at the sites of one record."""
        calls = self._calls
        if len(rows) == 1:
            row = rows[0]
            return RecordOrder(calls.order[row], calls.is_start[row], calls.quality[row])
        order, first = phased_cells.order_of(calls.order[rows])
        is_start = np.asarray(calls.is_start[rows].any(axis=0), dtype=np.bool_)
        return RecordOrder(order, is_start, calls.quality[rows][first, range(len(first))])

    def _joined(self, found: RecordOrder | None, followers: list[Follower]) -> RecordOrder:
        """The order of a record with that of heterozygotes that follow their sets."""
        num_samples = len(self._calls.is_kept)
        if found is None:
            order = np.full(num_samples, UNPHASED, np.uint8)
            is_start = np.zeros(num_samples, np.bool_)
            quality = np.full(num_samples, NO_QUALITY, np.uint8)
        else:
            order, is_start, quality = found.order.copy(), found.is_start.copy(), found.quality
        for one in followers:
            order[one.sample], is_start[one.sample] = one.order, one.is_start
        names = {one.sample: one.name for one in followers if one.name != file_sets.CURRENT}
        return RecordOrder(order, is_start, quality, found is not None, names)

    def _is_written(self, contig: bytes, position: int) -> bool:
        region = self._region
        if region is None:
            return True
        is_inside = region.start <= position <= region.end
        return is_inside and self._contigs.get(contig.decode("latin-1")) == region.contig

    def _changed(self) -> InputError:
        return InputError(f"{self._path} changed while it was read. Phase it again.")


def _lines(path: Path, header: Header) -> Iterator[bytes]:
    """The records of a file as text, without the ends of the lines."""
    if header.is_bcf:
        for variant in variants.open_file(path, is_bcf=True):
            yield str(variant).encode().rstrip(b"\r\n")
        return
    try:
        with checks.open_inflated(path, is_compressed=header.is_compressed) as stream:
            stream.seek(len(header.text))
            while line := stream.readline(_LONGEST):
                yield line.rstrip(b"\r\n")
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}). Copy or download it again.") from error


def _header_text(path: Path, header: Header, added: Sequence[str], *, fills: bool) -> bytes:
    """The header of the file, with the fields that are written and all contigs declared."""
    text = header.text.rstrip(b"\0\r\n").decode("utf-8", "replace").encode()
    lines = [line.rstrip(b"\r") for line in text.split(b"\n")]
    if header.is_bcf:
        lines = [_NUMBER_IN_BCF.sub(b"", line) for line in lines]
    else:
        contigs = variants.scan(path, header).contigs.keys() - header.contigs
        lines[-1:-1] = [b"##contig=<ID=%b>" % name for name in sorted(contigs)]
    lines = [line for line in lines if not _REPLACED.match(line)]
    if fills:
        lines = [line for line in lines if not _REPLACED_IF_FILLED.match(line)]
    if not any(line.startswith(b"##FORMAT=<ID=GT,") for line in lines):
        lines.insert(-1, _GENOTYPE)
    declared = (*_DECLARED, _FILL_QUALITY) if fills else _DECLARED
    lines[-1:-1] = [*declared, *(line.encode() for line in added)]
    return b"".join(line + b"\n" for line in lines)

"""Reading the records of a VCF or BCF in blocks.

N samples; a block holds n consecutive records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain.records import NO_CALL, Record, RecordBlock
from vcfbert.domain.sites import Region, find_contig
from vcfbert.errors import InputError
from vcfbert.storage.vcf import checks, variants
from vcfbert.storage.vcf.checks import Header

BLOCK_BYTES = 4_000_000
"""Size of a block's genotypes: small enough to stay in the processor's cache for the checks."""

LAST_POSITION = 2**31 - 2
"""As in BCF."""


class VcfReader:
    """A checked file whose records are read once, in order."""

    def __init__(self, path: Path, *, region: str | None = None) -> None:
        """Check header, end of file and index; InputError where one is not as it must be."""
        self.path = path
        self.header: Header = checks.read_header(path)
        last_block = checks.check_whole(path, self.header)
        if region is not None:
            checks.need_index(path, self.header)
        checks.check_index(path, last_block=last_block)
        file = variants.open_file(path)
        self.region: Region | None = None
        if region is not None:
            self.region = Region.parse(region).among(
                variants.contigs_of(file, path), source=str(path)
            )
        self._contigs: dict[bytes, int] = {}
        self.num_records = self._count()
        """Records to come, if anything but reading them can tell."""
        if self.num_records == 0:
            raise self._empty()

    @property
    def samples(self) -> list[str]:
        """Names of the samples, in order."""
        return self.header.samples

    def _count(self) -> int | None:
        """Records to come, from the index or, in a region, from another reader."""
        if self.region is not None:
            return checks.count_region(self.path, self.header, self.region)
        count = checks.count_indexed(self.path, self.header)
        if self.header.is_bcf:
            return count or None
        if count is None:
            lines = variants.scan(self.path, self.header)
            count, self._contigs = lines.count, lines.contigs
        else:
            self._contigs = dict.fromkeys(checks.contigs_indexed(self.path), 1)
        return count

    def blocks(
        self, samples: NDArray[np.int64], *, wants: Callable[[Record], bool] | None = None
    ) -> Iterator[RecordBlock]:
        """Read all records.

        samples  (N,) columns to keep, rising
        wants   False for a record to leave out, whose genotypes are then not looked at

        Raises InputError where positions fall, a contig returns, a record has no GT, or fewer
        records could be read than there are.
        """
        everyone = len(samples) == len(self.samples)
        size = max(16, min(4096, BLOCK_BYTES // (6 * len(samples))))
        block = _Block(size, len(samples))
        order = _Order(self.path)
        count = 0
        for variant in self._variants():
            count += 1
            record = self._record(variant, count)
            order.check(record)
            if self.region is not None and record.position < self.region.start:
                continue  # a deletion that begins before the region and reaches into it
            if wants is not None and not wants(record):
                continue
            calls = self._calls(variant, record)
            block.add(record, calls if everyone else calls[samples])
            if block.is_full:
                yield block.finished()
                block = _Block(size, len(samples))
        self._check_count(count)
        if block.records:
            yield block.finished()

    def _variants(self) -> Iterator[Any]:
        count = 0
        try:
            for variant in variants.variants(self.path, self.header, self._contigs, self.region):
                count += 1
                yield variant
        except Exception as error:  # cyvcf2 has no class of its own
            if type(error) is not Exception and not isinstance(error, (OSError, AssertionError)):
                raise
            raise InputError(
                f"{self.path} is damaged after record {count}: what follows it is no whole line of "
                f"{len(self.samples)} samples. Copy or download it again; if it is as it was made, "
                f"this names the fault in the line: bcftools view {self.path} > /dev/null"
            ) from error

    def _record(self, variant: Any, count: int) -> Record:
        """The fixed columns; InputError where the line has none.

        Of a line without REF, such as an empty one or one of a header, cyvcf2 must be asked for no
        more than its extent: alleles that are not there end the process. Its POS wraps at 2^31.
        """
        position: int = variant.start + 1
        try:
            contig = variant.CHROM
            if variant.end < position or not contig:
                raise InputError(
                    f"{self.path}: line {count} of the records, {contig[:40]!r}, is no record. "
                    "Take empty lines and lines of a header out; to join files use: bcftools concat"
                )
            if not 1 <= position <= LAST_POSITION:
                raise InputError(
                    f"{self.path}, {contig}:{position}: a position lies between 1 and "
                    f"{LAST_POSITION}. Correct the record or leave it out: bcftools view -e."
                )
            ref = variant.REF
            if ref.isupper():
                return Record(contig, position, variant.ID or ".", ref, variant.ALT)
            alts = [alt.upper() if alt.isalpha() else alt for alt in variant.ALT]
            return Record(contig, position, variant.ID or ".", ref.upper(), alts)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path}: record {count}, at position {position}, holds bytes that are no "
                f"UTF-8. Convert the file with: iconv -f latin1 -t utf8 (behind zcat, before bgzip)"
            ) from error

    def _calls(self, variant: Any, record: Record) -> NDArray[np.int16]:
        try:
            # Where GT is not the first field, and nobody has it, htslib would end the process.
            if not self.header.is_bcf and list(variant.FORMAT or ())[:1] != ["GT"]:
                raise self._no_genotypes(record)
            calls: NDArray[np.int16] = variant.genotype.array()
        except Exception as error:
            known = (AttributeError, UnicodeDecodeError)  # None for a genotype; a field's name
            if type(error) is not Exception and not isinstance(error, known):
                raise
            raise self._no_genotypes(record) from error
        if len(calls) != len(self.samples):
            raise InputError(
                f"{self.path}, {record.place()}: the record has genotypes of {len(calls)} samples, "
                f"but the header names {len(self.samples)}. Copy or download the file again."
            )
        return calls

    def _no_genotypes(self, record: Record) -> InputError:
        return InputError(
            f"{self.path}, {record.place()}: the record has no genotypes (GT). Phased GT is "
            "needed in each record, as its first field."
        )

    def _check_count(self, count: int) -> None:
        """Compare what was read with what the index or another reader counted."""
        if self.num_records is not None and count != self.num_records:
            has_index = checks.index_of(self.path) is not None
            says = "its index counts" if has_index else "its lines are"
            raise InputError(
                f"{self.path}: {count} records were read, but {says} {self.num_records}. "
                f"One of them is not whole; index it again (bcftools index -f {self.path}) or copy "
                "both again."
            )
        if count == 0:
            raise self._empty()

    def _empty(self) -> InputError:
        place = "at all" if self.region is None else f"in {self.region}"
        return InputError(f"{self.path} has no records {place}. Give another file or region.")


class _Block:
    """A RecordBlock that is being filled."""

    def __init__(self, size: int, num_samples: int) -> None:
        self.records: list[Record] = []
        self._calls = np.empty((size, num_samples, 3), dtype=np.int16)
        self._is_diploid = np.ones(size, dtype=np.bool_)

    @property
    def is_full(self) -> bool:
        return len(self.records) == len(self._calls)

    def add(self, record: Record, calls: NDArray[np.int16]) -> None:
        """Append a record; `calls` (N, ploidy + 1) with the phase in the last column."""
        row = len(self.records)
        self.records.append(record)
        if calls.shape[1] > 3 and (calls[:, 2:-1] == NO_CALL).all():
            calls = calls[:, [0, 1, -1]]  # someone left out has more than two alleles
        if calls.shape[1] == 3:
            self._calls[row] = calls
        else:
            is_pair = (calls[:, 2:-1] == NO_CALL).all(axis=1) & (calls.shape[1] > 3)
            self._calls[row] = np.where(is_pair[:, None], calls[:, [0, 1, -1]], NO_CALL)
            self._is_diploid[row] = False

    def finished(self) -> RecordBlock:
        """The records so far."""
        count = len(self.records)
        return RecordBlock(self.records, self._calls[:count], self._is_diploid[:count])


class _Order:
    """Notices records out of order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._contig = ""
        self._position = 0
        self._past: dict[str, None] = {}  # in the order of the file

    def check(self, record: Record) -> None:
        """InputError where the record stands before the one read last."""
        if record.contig != self._contig:
            self._enter(record)
        elif record.position < self._position:
            self._refuse(record, f"it follows position {self._position}")
        self._position = record.position

    def _enter(self, record: Record) -> None:
        """The first record of a contig."""
        known = find_contig(record.contig, list(self._past))
        if known == record.contig:
            self._refuse(record, f"contig {known} comes back after {self._contig}")
        if known is not None:
            raise InputError(
                f"{self._path}, {record.place()}: one contig has two names, {known} and "
                f"{record.contig}. Give it one with: bcftools annotate --rename-chrs"
            )
        self._past[record.contig] = None
        self._contig = record.contig

    def _refuse(self, record: Record, why: str) -> None:
        raise InputError(
            f"{self._path}, {record.place()}: the records are not sorted; {why}. Sort them with: "
            f"bcftools sort -Oz -o sorted.vcf.gz {self._path}"
        )

"""Reader of VCF and BCF files in blocks of records.

N samples; a block holds n consecutive records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import records
from vcfbert.domain.contig_names import find_direct
from vcfbert.domain.records import NO_CALL, Record, RecordBlock
from vcfbert.domain.sites import Region
from vcfbert.errors import InputError
from vcfbert.storage.vcf import bcf_checks, checks, index_checks, structural, variants
from vcfbert.storage.vcf.phase_set_sizes import LostPhaseSets
from vcfbert.storage.vcf.phase_sets import TAGS, PhaseSetCheck, PhaseSets, tag_of

if TYPE_CHECKING:
    import pysam

BLOCK_BYTES = 4_000_000
"""Size of a block's genotypes: small enough to stay in the processor's cache for the checks."""

LAST_POSITION = 2**31 - 2
"""As in BCF."""


class VcfFile:
    """An open VCF or BCF: header and index are read once, records once, in order.

    with VcfFile(path) as file:
        for block in file.blocks(np.arange(len(file.samples))):
            ...
    """

    def __init__(self, path: Path) -> None:
        """Open a file. Raises InputError if its header, its end or its index is damaged."""
        self.path = path
        self.header = checks.read_header(path)
        last_block = checks.check_whole(path, self.header)
        index = index_checks.find_index(path) if self.header.is_compressed else None
        self._index_path = index
        self._index = (
            None if index is None else index_checks.read_index(path, index, last_block=last_block)
        )
        self._file = variants.open_file(path, is_bcf=self.header.is_bcf)
        self._counts: dict[Region | None, int | None] = {}
        self._contigs: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        if "_lines" in self.__dict__:
            self._lines.close()

    @property
    def samples(self) -> list[str]:
        """Names of the samples, in order."""
        return self.header.samples

    @property
    def has_index(self) -> bool:
        """True if a region can be read without the rest of the file."""
        return self._index is not None

    def find_region(self, text: str) -> Region:
        """A region by the name that its contig has in this file.

        Raises InputError if the file has no index or not this contig.
        """
        self._require_index()
        assert self._index is not None
        names = variants.contigs_of(self._file, self.path) if self.header.contigs else []
        names = names or [name.decode() for name in self._index.names]
        return Region.parse(text, names, source=str(self.path))

    def contigs_with_records(self) -> list[str] | None:
        """Contigs that have records, by the index or the lines; None for a BCF without index.

        Raises InputError if there are no records.
        """
        if self._index is None:
            self.count()
            return None if self.header.is_bcf else [name.decode() for name in self._contigs]
        names = [name.decode() for name in self._index.names]
        names = names or variants.contigs_of(self._file, self.path)
        return [name for name, n in zip(names, self._index.counts, strict=False) if n != 0]

    @property
    def contigs(self) -> list[str]:
        """Names of the contigs: of the records, or of the header if only reading all can tell."""
        if self.header.is_bcf:
            return variants.contigs_of(self._file, self.path)
        self.count()
        return [name.decode("utf-8", "replace") for name in self._contigs]

    def count(self, region: Region | None = None) -> int | None:
        """Number of records in the file or a region; None if only reading them can tell.

        Raises InputError if there are none.
        """
        if region not in self._counts:
            self._counts[region] = self._count() if region is None else self._count_in(region)
        if self._counts[region] == 0:
            raise self._empty(region)
        return self._counts[region]

    def blocks(
        self,
        columns: NDArray[np.int64],
        *,
        region: Region | None = None,
        contig: str | None = None,
        wants: Callable[[Record], bool] | None = None,
        keep_phase_sets: bool = False,
    ) -> Iterator[RecordBlock]:
        """Read all records of the file or a region; can be called once.

        A block has records of one contig, so that what is made of it does not depend on the others.

        columns  (N,) indexes of the samples to read, rising
        region   as `find_region` returns it
        contig   of a VCF without index: parse only its lines
        wants    False for a record to skip; its genotypes are then not read
        keep_phase_sets  give the blocks their phase sets instead of refusing several of a sample

        Raises InputError if records are not sorted, a record has no GT, a sample has several phase
        sets, or fewer records can be read than there are.
        """
        expected = self.count(region)
        if contig is not None:
            expected = None  # the count is that of all contigs; no line of the contig can be lost
        has_all_samples = len(columns) == len(self.samples)
        size = max(16, min(4096, BLOCK_BYTES // (6 * len(columns))))
        block = _Block(size, len(columns))
        order = _Order(self.path)
        check = PhaseSetCheck(self.path, [self.samples[column] for column in columns])
        phase_sets, lost = PhaseSets(), LostPhaseSets(self.path, self.header)
        count = 0
        for variant in self._variants(region, contig):
            count += 1
            record = self._record(variant, count)
            order.check(record)
            if region is not None and record.position < region.start:
                continue  # a deletion that begins before the region and reaches into it
            if wants is not None and not wants(record):
                continue
            calls = self._calls(variant, record)
            if not has_all_samples:
                calls = calls[columns]
            self._refuse_polyploid(record, calls, columns)
            sets, tag = self._phase_sets(variant)
            sets = sets if sets is None else sets[columns]
            lost.check(record, calls, sets, tag)
            numbers = None
            if keep_phase_sets:
                numbers = phase_sets.numbered(sets, len(columns))
            else:
                check.check(record, calls, sets, tag)
            if block.is_full or block.is_of_other_contig(record):
                yield block.finished()
                block = _Block(size, len(columns))
            block.add(record, calls, numbers)
        if expected is not None and count != expected:
            raise self._other_count(count, expected)
        if count == 0:
            raise self._empty(region or contig)
        if block.records:
            yield block.finished()

    @cached_property
    def _lines(self) -> pysam.TabixFile:
        """The lines of an indexed VCF. pysam fails at damaged bytes, where cyvcf2 just ends."""
        import pysam  # takes 0.1 s to import, which only reading by region needs

        pysam.set_verbosity(0)  # the InputError says it all
        index = str(self._index_path)  # otherwise pysam looks for .tbi only
        return pysam.TabixFile(str(self.path), index=index, encoding="latin-1")

    def _count(self) -> int | None:
        """Records of the whole file, by its index or its lines."""
        count = None if self._index is None else self._index.count
        if self.header.is_bcf:
            return count or None
        if self._index is not None and count is not None:
            self._contigs = dict.fromkeys(self._index.names, 1)
            return count
        scan = variants.scan(self.path, self.header)
        self._contigs = scan.contigs
        return scan.count

    def _count_in(self, region: Region) -> int:
        """Records of a region, counted by pysam, which fails at damaged bytes."""
        place = region.contig, region.start - 1, region.end
        try:
            if not self.header.is_bcf:
                return sum(1 for _ in self._lines.fetch(*place))
            import pysam

            pysam.set_verbosity(0)
            with pysam.VariantFile(str(self.path)) as records:
                return sum(1 for _ in records.fetch(*place))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path} is damaged in {region}, or its index belongs to another file "
                f"({error}). Copy or download both again."
            ) from error

    def _variants(self, region: Region | None, contig: str | None) -> Iterator[Any]:
        """What cyvcf2 reads; its errors become InputErrors."""
        count = 0
        try:
            for variant in self._source(region, contig):
                count += 1
                yield variant
        except Exception as error:  # cyvcf2 has no class of its own
            if not variants.is_stop(error):
                raise
            raise InputError(
                f"{self.path} is damaged after record {count}: what follows is not a whole line "
                f"for {plurals.of(len(self.samples), 'sample')}. Copy or download it again; if the "
                f"file is unchanged, this shows what is wrong: bcftools view {self.path} > "
                "/dev/null"
            ) from error

    def _source(self, region: Region | None, contig: str | None) -> Iterator[Any]:
        """The variants, in a way that htslib survives."""
        if self.header.is_bcf:
            bcf_checks.check_bcf(self.path, self.header)
            yield from self._file if region is None else self._file(str(region))
        elif region is not None:
            yield from variants.in_region(self._lines, self.path, self.header, region)
        elif contig is not None:
            yield from variants.of_contig(self.path, self.header, contig, self._contigs)
        else:
            yield from variants.whole(self._file, self.path, self.header, self._contigs)

    def _record(self, variant: Any, count: int) -> Record:
        """The fixed columns. Raises InputError if the line has none.

        If a line has no REF, as an empty line or a header line, cyvcf2 must be asked for nothing
        but its extent: asking for alleles would end the process. Its POS wraps at 2^31.
        """
        position: int = variant.start + 1
        try:
            contig = variant.CHROM
            if variant.end < position or not contig:
                raise InputError(
                    f"{self.path}: line {count} of the records, {contig[:40]!r}, is not a record. "
                    "Remove empty lines and header lines; to join files use: bcftools concat"
                )
            if not 1 <= position <= LAST_POSITION:
                raise InputError(
                    f"{self.path}, {contig}:{position}: a position must be between 1 and "
                    f"{LAST_POSITION}. Correct the record, or exclude it with: bcftools view -e"
                )
            ref, alts = variant.REF, variant.ALT
            name, text = variant.ID or ".", "".join((ref, *alts))
            if len(text) < structural.LEAST_BASES and text.isalpha() and text.isupper():
                return Record(contig, position, name, ref, alts, number=count - 1)
            ref = records.capitals(ref)
            alts = [records.capitals(alt) for alt in alts]
            infos: tuple[str, ...] = ()
            if structural.is_structural(ref, alts):
                infos = structural.infos(variant.INFO, len(alts), position)
            return Record(contig, position, name, ref, alts, infos, count - 1)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path}: record {count}, at position {position}, has bytes that are not "
                "UTF-8. Convert the file with: iconv -f latin1 -t utf8 (after zcat, before bgzip)"
            ) from error

    def _calls(self, variant: Any, record: Record) -> NDArray[np.int16]:
        try:
            # If GT is not the first field and no sample has it, htslib would end the process.
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
                f"{self.path}, {record.place()}: the record has genotypes for "
                f"{plurals.of(len(calls), 'sample')}, but the header names {len(self.samples)}. "
                "Copy or download the file again."
            )
        return calls

    def _phase_sets(self, variant: Any) -> tuple[NDArray[Any] | None, str]:
        """Phase sets of all samples, and the field with them; None if the record has none."""
        if self.header.is_bcf:  # its FORMAT names may not be readable
            tag = tag_of(self._declared_tags)
        else:
            keys = variant.FORMAT
            tag = None if len(keys) == 1 else tag_of(keys)
        return (None, "") if tag is None else (variant.format(tag), tag)

    @cached_property
    def _declared_tags(self) -> list[str]:
        """FORMAT fields for phase sets that the header declares."""
        return [tag for tag in TAGS if f"##FORMAT=<ID={tag},".encode() in self.header.text]

    def _refuse_polyploid(
        self, record: Record, calls: NDArray[np.int16], columns: NDArray[np.int64]
    ) -> None:
        """Raise InputError if a sample has more than two alleles.

        calls  (N, ploidy + 1) of these columns
        """
        if calls.shape[1] <= 3:
            return
        ploidy = (calls[:, :-1] != NO_CALL).sum(axis=1)
        sample = int(np.argmax(ploidy))
        if ploidy[sample] > 2:
            raise InputError(
                f"{self.path}, {record.place()}, sample {self.samples[columns[sample]]}: the "
                f"genotype has {ploidy[sample]} alleles. Polyploid genotypes cannot be imputed: "
                "the copying model is diploid. If only a few records are like this, leave them "
                f"out: bcftools view -t ^{record.place()}"
            )

    def _require_index(self) -> None:
        """Raise InputError, with the command that makes the index, if there is none."""
        if not self.header.is_compressed:
            raise InputError(
                f"{self.path} is not compressed, so a region of it cannot be read. Compress and "
                f"index it first: bgzip {self.path} && tabix -p vcf {self.path}.gz"
            )
        if not self.has_index:
            tool = "bcftools index" if self.header.is_bcf else "tabix -p vcf"
            raise InputError(
                f"{self.path} has no index, which --region needs. Make one with: {tool} {self.path}"
            )

    def _no_genotypes(self, record: Record) -> InputError:
        return InputError(
            f"{self.path}, {record.place()}: the record has no genotypes (GT). GT is "
            "needed in each record, as its first field."
        )

    def _other_count(self, count: int, expected: int) -> InputError:
        counter = "its index counts" if self.has_index else "it has lines for"
        return InputError(
            f"{self.path}: {plurals.of(count, 'record was', 'records were')} read, but {counter} "
            f"{expected}. The file or its index is incomplete. Index it again (bcftools index -f "
            f"{self.path}) or copy both again."
        )

    def _empty(self, region: Region | str | None) -> InputError:
        place = "" if region is None else f" in {region}"
        return InputError(f"{self.path} has no records{place}. Give another file or region.")


class _Block:
    """A RecordBlock that is being filled."""

    def __init__(self, size: int, num_samples: int) -> None:
        self.records: list[Record] = []
        self._calls = np.empty((size, num_samples, 3), dtype=np.int16)
        self._is_diploid = np.ones(size, dtype=np.bool_)
        self._phase_sets: NDArray[np.int32] | None = None

    @property
    def is_full(self) -> bool:
        return len(self.records) == len(self._calls)

    def is_of_other_contig(self, record: Record) -> bool:
        """True if the records so far are of another contig."""
        return bool(self.records) and self.records[-1].contig != record.contig

    def add(
        self, record: Record, calls: NDArray[np.int16], phase_sets: NDArray[np.int32] | None
    ) -> None:
        """Append a record; `calls` (N, ploidy + 1) with the phase in the last column.

        No sample has more than two alleles.
        """
        row = len(self.records)
        if phase_sets is not None:
            if self._phase_sets is None:
                self._phase_sets = np.ones(self._calls.shape[:2], np.int32)
            self._phase_sets[row] = phase_sets
        self.records.append(record)
        if calls.shape[1] > 3:  # samples that are not read have more than two alleles
            calls = calls[:, [0, 1, -1]]
        if calls.shape[1] == 3:
            self._calls[row] = calls
        elif calls.shape[1] == 2:  # all samples are haploid
            self._calls[row, :, [0, 2]] = calls.T
            self._calls[row, :, 1] = NO_CALL
            self._is_diploid[row] = False
        else:
            self._calls[row] = NO_CALL
            self._is_diploid[row] = False

    def finished(self) -> RecordBlock:
        """The records so far."""
        count = len(self.records)
        sets = self._phase_sets
        return RecordBlock(
            self.records,
            self._calls[:count],
            self._is_diploid[:count],
            None if sets is None else sets[:count],
        )


class _Order:
    """Check that records are sorted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._contig = ""
        self._position = 0
        self._past: dict[str, None] = {}  # a set that keeps the order of the file

    def check(self, record: Record) -> None:
        """Raise InputError if the record belongs before the previous one."""
        if record.contig != self._contig:
            self._enter(record)
        elif record.position < self._position:
            self._refuse(record, f"it follows position {self._position}")
        self._position = record.position

    def _enter(self, record: Record) -> None:
        """The first record of a contig."""
        known = find_direct(record.contig, list(self._past))
        if known == record.contig:
            self._refuse(record, f"contig {known} returns after {self._contig}")
        if known is not None:
            raise InputError(
                f"{self._path}, {record.place()}: one contig has two names, {known} and "
                f"{record.contig}. Rename one with: bcftools annotate --rename-chrs"
            )
        self._past[record.contig] = None
        self._contig = record.contig

    def _refuse(self, record: Record, why: str) -> None:
        raise InputError(
            f"{self._path}, {record.place()}: the records are not sorted; {why}. Sort them with: "
            f"bcftools sort -Oz -o sorted.vcf.gz {self._path}"
        )

"""Filtering of a panel's sites, and their table.

S sites, P populations, H haplotypes; a block holds n sites. Memory grows with the table of sites
only: alleles go to a file.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import allele_codes, genetic_map, haploid_calls, records, sites, tokens, windows
from vcfbert.domain.haploid_calls import PloidyDecision
from vcfbert.domain.records import GenotypePolicy, Record, RecordBlock, SiteSplitter
from vcfbert.domain.sites import TRAIN, VALIDATION, Samples, Sites
from vcfbert.domain.windows import Segment
from vcfbert.errors import InputError
from vcfbert.pipelines.preparing.options import PrepareOptions
from vcfbert.storage.zarr.transposing import AlleleSpool

OUTSIDE = "outside the given windows"
TOO_RARE_MAC = "minor allele count too low"
TOO_RARE_MAF = "minor allele frequency too low"
REASONS = (*records.REASONS, OUTSIDE, TOO_RARE_MAC, TOO_RARE_MAF)
"""Reasons to drop a site in the QC report, in the order of the checks."""

MOST_CODED = 0.25
"""Above this share of sites with codes instead of bases, no target will match the panel."""


class SiteCollector:
    """Filters sites block by block; keeps their table, and writes their alleles to a file."""

    def __init__(
        self,
        source: str,
        samples: Samples,
        options: PrepareOptions,
        segments: list[Segment] | None,
        alleles: AlleleSpool,
        ploidy: PloidyDecision | None = None,
        free: AlleleSpool | None = None,
    ) -> None:
        """`ploidy` is None if the file was not read for it yet.

        `free` gets a bit for each sample: 1 if its heterozygote is to be phased; None if none is.
        """
        self.dropped: Counter[str] = Counter()
        self.filled_genotypes = 0
        self.num_records = 0
        self.num_sites = 0
        self.missing = np.zeros(len(samples), dtype=np.int64)  # genotypes of each sample
        self.source = source
        self._splitter = SiteSplitter(
            source,
            samples.names,
            GenotypePolicy(missing=options.missing, unphased=options.unphased_policy),
        )
        self._options = options
        self._map_source = str(options.genetic_map)
        self._segments = segments
        self._spool, self._free = alleles, free
        self._groups = tokens.pack(samples.groups().astype(np.uint8))
        self._reference = samples.in_splits(TRAIN, VALIDATION)
        self.ploidy = ploidy
        self._of_records = None
        if ploidy is not None and ploidy.is_haploid.any():
            self._of_records = ploidy.of_records
        self.contigs: dict[str, int] = {}
        self._text: tuple[list[str], list[str], list[str], list[str]] = ([], [], [], [])
        self._record_numbers: list[int] = []
        self._last_record: Record | None = None
        self._codes: set[str] = set()
        self._num_coded = 0
        self._contig: list[NDArray[np.int32]] = []
        self._position: list[NDArray[np.int32]] = []
        self._counts: list[NDArray[np.int32]] = []

    def add(self, block: RecordBlock) -> int:
        """Take the next block; returns its number of records."""
        is_haploid = None
        if self._of_records is not None:
            block = haploid_calls.settled_block(block, self._of_records.of(block.records))
        split = self._splitter.split(block)
        if self._of_records is not None:
            is_haploid = self._of_records.of(split.records)
            split.alleles[:, 1::2][is_haploid] = 0
            split.is_free[is_haploid] = False
        self.num_records += len(block.records)
        self.num_sites += len(split.records) + split.dropped.total()
        self.dropped += split.dropped
        self.filled_genotypes += split.filled_genotypes
        self.missing += split.missing
        contig = np.array(
            [self.contigs.setdefault(r.contig, len(self.contigs)) for r in split.records], np.int32
        )
        position = np.array([record.position for record in split.records], np.int32)
        packed = tokens.pack(split.alleles)
        counts = tokens.count_alt(packed, self._groups)
        kept = np.flatnonzero(self._is_kept(contig, position, counts, is_haploid))
        self._spool.append(packed[kept])
        if self._free is not None:
            self._free.append(tokens.pack(split.is_free[kept].astype(np.uint8)))
        self._contig.append(contig[kept])
        self._position.append(position[kept])
        self._counts.append(counts[kept])
        identifiers, refs, alts, infos = self._text
        numbers = self._record_numbers
        for row in kept.tolist():
            record = split.records[row]
            identifiers.append(record.identifier)
            refs.append(record.ref)
            alts.append(split.alt[row])
            if allele_codes.is_coded(record.ref, (split.alt[row],)):
                self._num_coded += 1
                self._codes.update((record.ref, split.alt[row]))
            infos.append(split.info[row])
            is_same = record is self._last_record  # another ALT of the record before
            numbers.append(numbers[-1] + (not is_same) if numbers else 0)
            self._last_record = record
        return len(block.records)

    def _is_kept(
        self,
        contig: NDArray[np.int32],
        position: NDArray[np.int32],
        counts: NDArray[np.int32],
        is_haploid: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_]:
        """(n,) True if a site passes the filters; the others are counted by reason."""
        num_reference = np.full(len(contig), 2 * len(self._reference))
        if is_haploid is not None:
            num_reference -= is_haploid[:, self._reference].sum(axis=1)
        is_inside = np.ones(len(contig), dtype=np.bool_)
        if self._segments is not None:
            for name, number in self.contigs.items():
                here = contig == number
                segments = windows.of_contig(self._segments, name)
                is_inside[here] = windows.is_inside(segments, position[here])
        copies = counts[:, TRAIN] + counts[:, VALIDATION]
        minor = np.minimum(copies, num_reference - copies)
        is_common = minor >= self._options.min_mac
        is_frequent = minor >= self._options.min_maf * num_reference
        self.dropped[OUTSIDE] += int((~is_inside).sum())
        self.dropped[TOO_RARE_MAC] += int((is_inside & ~is_common).sum())
        self.dropped[TOO_RARE_MAF] += int((is_inside & is_common & ~is_frequent).sum())
        is_kept: NDArray[np.bool_] = is_inside & is_common & is_frequent
        return is_kept

    def table(self, maps: dict[str, genetic_map.ContigMap] | None) -> Sites:
        """The kept sites. Raises InputError if there are none."""
        if self._spool.num_sites == 0:
            reasons = "; ".join(f"{n:,} {reason}" for reason, n in self.dropped.items() if n)
            raise InputError(
                f"{self.source}: none of {plurals.of(self.num_sites, 'site')} is kept ({reasons}). "
                f"{self._remedy()}"
            )
        if self._num_coded > MOST_CODED * self._spool.num_sites:
            raise InputError(
                f"{self.source}: {self._num_coded:,} of "
                f"{plurals.of(self._spool.num_sites, 'site')} "
                f"{plurals.word(self._num_coded, 'has', 'have')} codes instead of bases; "
                f"{allele_codes.explained(self._codes)}."
            )
        contig, position = np.concatenate(self._contig), np.concatenate(self._position)
        counts = np.concatenate(self._counts)
        identifiers, refs, alts, infos = self._text
        names = list(self.contigs)
        return Sites(
            contigs=tuple(names),
            contig=contig,
            position=position,
            record=np.array(self._record_numbers, np.int32),
            identifier=identifiers,
            ref=refs,
            alt=alts,
            info=infos,
            site_type=sites.site_types(refs, alts),
            cm=self._centimorgans(maps, names, contig, position),
            alt_count=np.ascontiguousarray(counts[:, : len(sites.SPLITS)]),
            population_alt_count=np.ascontiguousarray(counts[:, len(sites.SPLITS) :]),
        )

    def _remedy(self) -> str:
        """What to do if no site is kept, by the most frequent reason."""
        most = max(self.dropped, key=lambda reason: self.dropped[reason])
        if most == records.PLOIDY:
            return (
                "Each sample needs one ploidy in a region; correct the genotypes with: bcftools "
                "+fixploidy."
            )
        is_filtered = any(self.dropped[reason] for reason in (TOO_RARE_MAC, TOO_RARE_MAF))
        remedy = "Lower --min-maf or --min-mac, or give" if is_filtered else "Give"
        return f"{remedy} another region, other windows or another panel."

    def _centimorgans(
        self,
        maps: dict[str, genetic_map.ContigMap] | None,
        names: list[str],
        contig: NDArray[np.int32],
        position: NDArray[np.int32],
    ) -> NDArray[np.float64]:
        """(S,) genetic positions, from the supplied map or at 1 cM per Mb."""
        if maps is None:
            return genetic_map.uniform(position)
        return genetic_map.of_sites(maps, names, contig, position, source=self._map_source)

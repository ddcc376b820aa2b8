"""Comparison of a panel store with the VCF it was prepared from.

S sites in the panel, H panel haplotypes; a block holds n sites of the file. The file is read
in blocks with the policy of `prepare`, so the same records are dropped; a site of the file that the
panel lacks must be one that the panel's filters drop. Heterozygotes that `prepare --phase-panel`
phased are compared without their order.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import haploid_calls
from vcfbert.domain.haploid_calls import RecordPloidy
from vcfbert.domain.ploidy import existing
from vcfbert.domain.records import GenotypePolicy, Record, RecordBlock, SiteBlock, SiteSplitter
from vcfbert.domain.sites import TRAIN, VALIDATION
from vcfbert.errors import InputError
from vcfbert.pipelines.verifying.store_report import StoreReport
from vcfbert.progress import Progress
from vcfbert.storage.vcf.reading import VcfFile
from vcfbert.storage.zarr.panel import PanelReader

_SHOWN = 5  # faults of a kind that are named
AGAIN = "Give the file it was made from, or prepare again with: vcfbert prepare PANEL --force"

Key = tuple[str, int, str, str]


def check(source: Path, panel: PanelReader, findings: StoreReport, progress: Progress) -> None:
    """Compare every site and genotype. Raises InputError if the file cannot be read."""
    comparison = _Comparison(panel, str(source))
    unphased = panel.settings.get("unphased", "error")
    policy = GenotypePolicy(
        missing=panel.settings.get("missing", "drop"),
        unphased="phase" if panel.settings.get("phase_panel") else unphased,
    )
    splitter = SiteSplitter(str(source), panel.samples.names, policy)
    with VcfFile(source) as file:
        region_text = panel.settings.get("region")
        region = None if region_text is None else file.find_region(region_text)
        columns = _columns(file, panel)
        progress.start("comparing records", file.count(region))
        for block in file.blocks(columns, region=region):
            split = _split(splitter, block, comparison.ploidy)
            for row, record in enumerate(split.records):
                comparison.add(
                    record, split.alt[row], split.info[row], split.alleles[row], split.is_free[row]
                )
            progress.advance(len(block.records))
    findings.content = (
        f"{plurals.of(comparison.num_sites, 'site')}, "
        f"{plurals.of(comparison.num_genotypes, 'genotype')} compared"
    )
    findings.faults += comparison.faults()


def _split(splitter: SiteSplitter, block: RecordBlock, ploidy: RecordPloidy | None) -> SiteBlock:
    """The sites of a block, as `prepare` makes them."""
    if ploidy is None:
        return splitter.split(block)
    split = splitter.split(haploid_calls.settled_block(block, ploidy.of(block.records)))
    is_haploid = ploidy.of(split.records)
    split.alleles[:, 1::2][is_haploid] = 0
    split.is_free[is_haploid] = False
    return split


def _columns(file: VcfFile, panel: PanelReader) -> NDArray[np.int64]:
    """Columns of the panel's samples. Raises InputError if the file has other samples."""
    column_of = {name: column for column, name in enumerate(file.samples)}
    lost = [name for name in panel.samples.names if name not in column_of]
    if lost:
        raise InputError(
            f"{file.path} does not have {len(lost)} of the panel's samples ({lost[0]}, ...). "
            f"{AGAIN}"
        )
    columns = np.array([column_of[name] for name in panel.samples.names], dtype=np.int64)
    has_all = panel.settings.get("samples") is not None or len(columns) == len(column_of)
    if (np.diff(columns) <= 0).any() or not has_all:
        raise InputError(
            f"{file.path} has other samples than {panel.path}, or in another order. {AGAIN}"
        )
    return columns


class _Comparison:
    """Takes the sites of the file in order and keeps the differences."""

    def __init__(self, panel: PanelReader, source: str) -> None:
        self.num_sites = 0
        self.num_genotypes = 0
        self._panel = panel
        self._source = source
        self._alleles = _PanelAlleles(panel)
        self._filter = _Filter(panel)
        sites, haploid = panel.sites, panel.samples.haploid
        self.ploidy = None if haploid is None else RecordPloidy.of_panel(sites, haploid)
        keys = zip(
            sites.contig.tolist(), sites.position.tolist(), sites.ref, sites.alt, strict=True
        )
        self._sites: defaultdict[Key, list[int]] = defaultdict(list)
        for site, (contig, position, ref, alt) in enumerate(keys):
            self._sites[sites.contigs[contig], position, ref, alt].append(site)
        self._is_seen = np.zeros(len(sites), dtype=np.bool_)
        self._unexpected: list[str] = []
        self._renamed: list[str] = []
        self._described: list[str] = []
        self._differing: list[str] = []
        self._num_differing = 0

    def add(
        self,
        record: Record,
        alt: str,
        info: str,
        alleles: NDArray[np.uint8],
        is_free: NDArray[np.bool_],
    ) -> None:
        """Compare one biallelic site of the file.

        alleles  (H,)
        is_free  (N,) True for heterozygotes whose order is not known in the file
        """
        site = self._find(record, alt, info)
        name = f"{record.place()} {record.ref}>{alt}"
        if site is None:
            haploid = None if self.ploidy is None else self.ploidy.of([record])[0]
            if not self._filter.drops(alleles, haploid):
                self._unexpected.append(name)
            return
        self._is_seen[site] = True
        self.num_sites += 1
        self.num_genotypes += len(alleles) // 2
        if record.identifier != self._panel.sites.identifier[site]:
            self._renamed.append(name)
        if info != self._panel.sites.info[site]:
            self._described.append(name)
        stored = self._alleles.of(site)
        alleles = _in_order_of(stored, alleles, is_free)
        if not np.array_equal(stored, alleles):
            self._note(name, stored, alleles)

    def _find(self, record: Record, alt: str, info: str) -> int | None:
        """The site with these alleles; of several, the one with this ID and INFO, or a new one."""
        sites = self._panel.sites
        found = self._sites.get((record.contig, record.position, record.ref, alt), [])
        unseen = [site for site in found if not self._is_seen[site]]
        named = [site for site in unseen if sites.identifier[site] == record.identifier]
        same = [site for site in named if sites.info[site] == info]
        return next(iter(same or named or unseen), None)

    def _note(self, name: str, stored: NDArray[np.uint8], alleles: NDArray[np.uint8]) -> None:
        samples = np.unique(np.flatnonzero(stored != alleles) // 2)
        self._num_differing += len(samples)
        for one_sample in samples[: max(0, _SHOWN - len(self._differing))].tolist():
            pair = slice(2 * one_sample, 2 * one_sample + 2)
            here, there = ("|".join(map(str, side[pair].tolist())) for side in (stored, alleles))
            sample = self._panel.samples.names[one_sample]
            self._differing.append(f"{sample} at {name} has {here}, but {there} in the file")

    def faults(self) -> list[str]:
        """A sentence for each kind of difference, naming the first few sites."""
        panel, sites = self._panel.path, self._panel.sites
        lost = [
            f"{sites.contigs[sites.contig[site]]}:{sites.position[site]}"
            for site in np.flatnonzero(~self._is_seen).tolist()
        ]
        file = self._source
        kinds = [
            ("site is", "sites are", f"not in {file} or dropped there", lost),
            (f"site of {file} is", f"sites of {file} are", "missing although no filter drops "
             f"{plurals.word(len(self._unexpected), 'it', 'them')}", self._unexpected),
            ("site has", "sites have", f"another ID in {file}", self._renamed),
            ("site has", "sites have", f"another END, SVTYPE or SVLEN in {file}", self._described),
        ]  # fmt: skip
        out = [
            f"{panel}: {plurals.of(len(names), one, many)} {what}: {', '.join(names[:_SHOWN])}. "
            f"{AGAIN}"
            for one, many, what, names in kinds
            if names
        ]
        if self._num_differing:
            told = "; ".join(self._differing)
            out.append(
                f"{panel}: {self._num_differing:,} of {plurals.of(self.num_genotypes, 'genotype')} "
                f"{plurals.word(self._num_differing, 'differs', 'differ')} from {self._source}: "
                f"{told}. {AGAIN}"
            )
        return out


def _in_order_of(
    stored: NDArray[np.uint8], alleles: NDArray[np.uint8], is_free: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The alleles of a site, with free heterozygotes in the order of the store.

    >>> stored, alleles = np.array([1, 0, 1, 0]), np.array([0, 1, 0, 1])
    >>> _in_order_of(stored, alleles, np.array([True, False])).tolist()
    [1, 0, 0, 1]
    """
    pairs = alleles.reshape(-1, 2)
    is_other = is_free & (stored.reshape(-1, 2) == pairs[:, ::-1]).all(axis=1)
    return np.where(is_other[:, None], pairs[:, ::-1], pairs).ravel()


class _Filter:
    """The filters of `prepare`."""

    def __init__(self, panel: PanelReader) -> None:
        settings: dict[str, Any] = panel.settings
        self._reference = panel.samples.haplotypes(TRAIN, VALIDATION)
        self._least_count = settings.get("min_mac", 0)
        self._least_share = settings.get("min_maf", 0.0)
        self._has_windows = settings.get("windows") is not None

    def drops(self, alleles: NDArray[np.uint8], is_haploid: NDArray[np.bool_] | None) -> bool:
        """True if a site may be absent from the panel: too rare, or outside of given windows.

        is_haploid  (N,) or None for no sample
        """
        copies, count = int(alleles[self._reference].sum()), len(self._reference)
        if is_haploid is not None:
            count = int(existing(is_haploid)[self._reference].sum())
        least = max(self._least_count, self._least_share * count)
        return self._has_windows or min(copies, count - copies) < least


class _PanelAlleles:
    """Alleles of one site after another, decoded eight sites at a time."""

    def __init__(self, panel: PanelReader) -> None:
        self._panel = panel
        self._place = (-1, -1)
        self._bits = np.empty((8, 0), dtype=np.uint8)

    def of(self, site: int) -> NDArray[np.uint8]:
        """(H,) alleles from the window whose core has the site."""
        windows = self._panel.windows
        window = int(np.searchsorted(windows.core_stop, site, side="right"))
        byte, bit = divmod(site - int(windows.start[window]), 8)
        if self._place != (window, byte):
            column = np.ascontiguousarray(self._panel.packed(window)[:, byte])
            self._bits = (column >> np.arange(8, dtype=np.uint8)[:, None]) & np.uint8(1)
            self._place = (window, byte)
        alleles: NDArray[np.uint8] = self._bits[bit]
        return alleles

"""`prepare`: a phased VCF to a panel store, mask version 0 and a QC report.

S sites, W windows, L sites in a window, N samples, P populations. The file is read once, in blocks:
the main thread reads while another turns the block before into sites. What grows with the panel is
one bit an allele on disk and the table of sites in memory.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.config import MaskConfig
from vcfbert.domain import genetic_map, masks, records, sites, splits, tokens, windows
from vcfbert.domain.records import Policy, RecordBlock, SiteSplitter
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION, Samples, Sites
from vcfbert.domain.windows import Segment, Windows
from vcfbert.errors import ConfigError, InputError, StoreError
from vcfbert.files import digests, replacing
from vcfbert.pipelines.preparing import relatedness, split_assignment
from vcfbert.pipelines.preparing.relatedness import Relatedness
from vcfbert.progress import Progress
from vcfbert.storage import tables
from vcfbert.storage.vcf import reading
from vcfbert.storage.zarr import masks as mask_store
from vcfbert.storage.zarr import panel, schema, stores, transposing
from vcfbert.storage.zarr.transposing import AlleleSpool
from vcfbert.storage.zarr.workspace import Workspace

logger = logging.getLogger(__name__)

OUTSIDE = "outside the given windows"
TOO_RARE_MAC = "below the least minor allele count"
TOO_RARE_MAF = "below the least minor allele frequency"
REASONS = (*records.REASONS, OUTSIDE, TOO_RARE_MAC, TOO_RARE_MAF)
"""Every reason in the QC report, in the order of the checks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareOptions:
    """How a panel is read."""

    samples: Path | None = None
    """Sample table; without it everyone is read and splits are drawn."""

    relatives: Path | None = None
    """Pairs of samples who never find each other; of a train and a held-out sample the first is
    left     out."""

    genetic_map: Path | None = None
    """PLINK map; without it 1 cM per Mb."""

    region: str | None = None
    """`contig:start-end`; needs an index."""

    min_maf: float = 0.0
    """Least minor allele frequency among train and validation samples."""

    min_mac: int = 0
    """Least minor allele count among train and validation samples; 0 keeps every site, 1 those
    where     both alleles occur."""

    window_size: int = 1030
    """L, sites in a window, flanks included."""

    flank: int = 32
    """Sites of context at each side of a window's core."""

    windows: Path | None = None
    """CSV of window cores made elsewhere; sites outside all of them are dropped."""

    validation_fraction: float = 0.04
    """Share of train samples to validate on, where the table names nobody."""

    test_fraction: float = 0.1
    """Share of samples to test on, where the table has no split."""

    missing: records.MissingPolicy = "drop"
    """What becomes of missing genotypes."""

    unphased: records.UnphasedPolicy = "error"
    """What becomes of heterozygotes without phase."""

    seed: int = 1
    """Seeds the drawn splits and mask version 0."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0.0 <= self.min_maf <= 0.5:
            raise ConfigError(f"--min-maf lies between 0 and 0.5, got {self.min_maf}.")
        if self.min_mac < 0:
            raise ConfigError(f"--min-mac must be at least 0, got {self.min_mac}.")
        for name in ("validation_fraction", "test_fraction"):
            if not 0.0 <= getattr(self, name) < 1.0:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} is at least 0 and below 1, got {getattr(self, name)}.")
        if self.seed < 0:
            raise ConfigError(f"--seed must be at least 0, got {self.seed}.")
        windows.check_size(self.window_size, self.flank)


@dataclass(frozen=True)
class PrepareSummary:
    """The QC report; `report` is what the JSON file holds."""

    panel: Path
    qc: Path
    fingerprint: str
    report: dict[str, Any]
    related: Relatedness

    def lines(self) -> list[str]:
        """The report as a table."""
        report = self.report
        read, kept, samples = report["read"], report["kept"], report["samples"]
        rows: list[tuple[str, object]] = [
            ("records read", read["records"]),
            ("sites read", read["sites"]),
            *((f"  dropped: {reason}", count) for reason, count in report["dropped"].items()),
            ("sites kept", kept["sites"]),
            *((f"  {kind}", count) for kind, count in kept["types"].items()),
            ("genotypes filled in", report["filled_genotypes"]),
            ("samples kept", samples["kept"]),
            *((f"  {split}", count) for split, count in samples["splits"].items()),
            ("samples not in the table", samples["not_in_table"]),
            ("samples left out, relatives held out", samples["relatives_left_out"]),
            *self.related.rows(),
            ("windows", f"{kept['windows']} of {report['options']['window_size']} sites"),
            ("genetic map", report["genetic_map"]),
            ("panel store", f"{report['bytes']['panel']:,} bytes, "
             f"{report['bytes']['ratio']:.3f} of the input"),
            ("seconds", f"{report['seconds']:.1f}"),
        ]  # fmt: skip
        shown = [
            (name, f"{value:,}" if isinstance(value, int) else str(value)) for name, value in rows
        ]
        width = max(len(name) for name, _ in shown)
        table = [f"{name:<{width}}  {value}" for name, value in shown if value != "0"]
        return [*table, f"{'panel':<{width}}  {self.panel}", f"{'QC report':<{width}}  {self.qc}"]


def prepare(
    panel_vcf: Path,
    workspace: Workspace,
    options: PrepareOptions,
    *,
    progress: Progress,
    overwrite: bool = False,
) -> PrepareSummary:
    """Read a phased panel and write the panel store, mask version 0 and the QC report.

    Raises InputError where the file or a table cannot be used, by the policy in docs/policy.md.
    """
    started = time.perf_counter()
    with (
        workspace.writing("panel", "masks"),
        stores.staging(workspace.root / "prepare") as folder,
    ):
        if workspace.panel.exists() and not overwrite:
            raise StoreError.exists(workspace.panel)
        staged = Workspace(folder)
        fingerprint, report, related = _make(panel_vcf, staged, options, progress)
        report |= {"fingerprint": fingerprint, "seconds": round(time.perf_counter() - started, 3)}
        stores.write_file(staged.qc, digests.sealed_json(report, indent=2))
        stores.write_file(staged.relatives, related.table().encode())
        # The panel last: where it stands, all of it stands.
        made = (staged.version("masks", 0), staged.qc, staged.relatives, staged.panel)
        names = [str(path.relative_to(folder)) for path in made]
        replacing.put_all(folder, names, workspace.root)
    for message in related.warnings(str(workspace.relatives)):
        logger.warning("%s", message)
    return PrepareSummary(workspace.panel, workspace.qc, fingerprint, report, related)


def _make(
    panel_vcf: Path, staged: Workspace, options: PrepareOptions, progress: Progress
) -> tuple[str, dict[str, Any], Relatedness]:
    """Write the panel and its masks; returns its fingerprint, the QC report and who is related."""
    reader = reading.VcfReader(panel_vcf, region=options.region)
    sample_index, samples, unknown = _samples(reader, options, progress)
    maps = None if options.genetic_map is None else tables.read_genetic_map(options.genetic_map)
    segments = None if options.windows is None else tables.read_segments(options.windows)
    with transposing.open_spool(staged.root, 2 * len(samples)) as alleles:
        collector = _Collector(reader, samples, options, segments, alleles)
        _read(reader, sample_index, collector, progress)
        table = collector.table(maps)
        cut = _cut(table, segments, options)
        fingerprint = _write(staged, table, samples, cut, alleles, options, progress)
        related = relatedness.measure(table, samples, alleles.alleles)
    is_masked = masks.draw_masks(
        cut, seed=options.seed, role="train", version=0, rate=MaskConfig().start_rate
    )
    first = mask_store.MaskVersion(
        version=0,
        policy="random",
        rate=MaskConfig().start_rate,
        seed=options.seed,
        role="train",
        panel_fingerprint=fingerprint,
        is_masked=is_masked,
    )
    mask_store.write_masks(staged.version("masks", 0), first)
    report = _report(reader, staged, collector, table, samples, cut, options, unknown)
    report["relatedness"] = related.record()
    return fingerprint, report, related


def _read(
    reader: reading.VcfReader, samples: NDArray[np.int64], collector: _Collector, progress: Progress
) -> None:
    """Read every block; parsing lets go of the interpreter, so the checks run beside it."""
    progress.start("reading records", reader.num_records)
    pending: Future[int] | None = None
    with ThreadPoolExecutor(max_workers=1) as beside:
        for block in reader.blocks(samples):
            if pending is not None:
                progress.advance(pending.result())
            pending = beside.submit(collector.add, block)
        if pending is not None:
            progress.advance(pending.result())


class _Collector:
    """Filters sites block by block; keeps their columns, and sends their alleles to the spool."""

    def __init__(
        self,
        reader: reading.VcfReader,
        samples: Samples,
        options: PrepareOptions,
        segments: list[Segment] | None,
        alleles: AlleleSpool,
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.filled_genotypes = 0
        self.num_records = 0
        self.num_sites = 0
        self._source = str(reader.path)
        self._splitter = SiteSplitter(
            self._source, samples.names, Policy(missing=options.missing, unphased=options.unphased)
        )
        self._options = options
        self._map_source = str(options.genetic_map)
        self._segments = segments
        self._spool = alleles
        self._groups, self._num_splits = _groups(samples)
        self._num_reference = 2 * len(samples.in_splits(TRAIN, VALIDATION))
        self.contigs: dict[str, int] = {}
        self._text: tuple[list[str], list[str], list[str]] = ([], [], [])
        self._contig: list[NDArray[np.int32]] = []
        self._position: list[NDArray[np.int32]] = []
        self._counts: list[NDArray[np.int32]] = []

    def add(self, block: RecordBlock) -> int:
        """Take the next block; returns its number of records."""
        split = self._splitter.split(block)
        self.num_records += len(block.records)
        self.num_sites += len(split.records) + split.dropped.total()
        self.dropped += split.dropped
        self.filled_genotypes += split.filled_genotypes
        contig = np.array(
            [self.contigs.setdefault(r.contig, len(self.contigs)) for r in split.records], np.int32
        )
        position = np.array([record.position for record in split.records], np.int32)
        packed = tokens.pack(split.alleles)
        counts = tokens.count_alt(packed, self._groups)
        kept = np.flatnonzero(self._is_kept(contig, position, counts))
        self._spool.append(packed[kept])
        self._contig.append(contig[kept])
        self._position.append(position[kept])
        self._counts.append(counts[kept])
        identifiers, refs, alts = self._text
        for row in kept.tolist():
            record = split.records[row]
            identifiers.append(record.identifier)
            refs.append(record.ref)
            alts.append(split.alt[row])
        return len(block.records)

    def _is_kept(
        self, contig: NDArray[np.int32], position: NDArray[np.int32], counts: NDArray[np.int32]
    ) -> NDArray[np.bool_]:
        """(n,) True where a site passes the filters; the others are counted."""
        is_inside = np.ones(len(contig), dtype=np.bool_)
        if self._segments is not None:
            for name, number in self.contigs.items():
                here = contig == number
                is_inside[here] = windows.is_inside(
                    _of_contig(self._segments, name), position[here]
                )
        copies = counts[:, TRAIN] + counts[:, VALIDATION]
        minor = np.minimum(copies, self._num_reference - copies)
        is_common = minor >= self._options.min_mac
        is_frequent = minor >= self._options.min_maf * self._num_reference
        self.dropped[OUTSIDE] += int((~is_inside).sum())
        self.dropped[TOO_RARE_MAC] += int((is_inside & ~is_common).sum())
        self.dropped[TOO_RARE_MAF] += int((is_inside & is_common & ~is_frequent).sum())
        is_kept: NDArray[np.bool_] = is_inside & is_common & is_frequent
        return is_kept

    def table(self, maps: dict[str, genetic_map.ContigMap] | None) -> Sites:
        """The kept sites; InputError where there are none."""
        if self._spool.num_sites == 0:
            reasons = "; ".join(f"{n:,} {reason}" for reason, n in self.dropped.items() if n)
            is_filtered = any(self.dropped[reason] for reason in (TOO_RARE_MAC, TOO_RARE_MAF))
            remedy = "Lower --min-maf or --min-mac, or give" if is_filtered else "Give"
            raise InputError(
                f"{self._source}: none of {self.num_sites:,} sites is kept ({reasons}). {remedy} "
                "another region, other windows or another panel."
            )
        contig, position = np.concatenate(self._contig), np.concatenate(self._position)
        counts = np.concatenate(self._counts)
        identifiers, refs, alts = self._text
        names = list(self.contigs)
        cm = np.empty(len(position))
        for number in np.unique(contig).tolist():
            here = contig == number
            cm[here] = (
                genetic_map.uniform(position[here])
                if maps is None
                else genetic_map.centimorgans(
                    maps, names[number], position[here], source=self._map_source
                )
            )
        return Sites(
            contigs=tuple(names),
            contig=contig,
            position=position,
            identifier=identifiers,
            ref=refs,
            alt=alts,
            site_type=sites.site_types(refs, alts),
            cm=cm,
            alt_count=np.ascontiguousarray(counts[:, : self._num_splits]),
            population_alt_count=np.ascontiguousarray(counts[:, self._num_splits :]),
        )


def _samples(
    reader: reading.VcfReader, options: PrepareOptions, progress: Progress
) -> tuple[NDArray[np.int64], Samples, dict[str, int]]:
    """Columns of the samples to keep, their table, and how many either side lacks."""
    names = reader.samples
    if options.samples is None:
        rows = dict.fromkeys(names, tables.SampleRow(".", ".", splits.UNKNOWN))
    else:
        rows = tables.read_samples(options.samples)
    columns = np.array([n for n, name in enumerate(names) if name in rows], dtype=np.int64)
    if len(columns) == 0:
        raise InputError(
            f"{options.samples} names none of the {len(names)} samples of {reader.path} "
            f"({names[0]}, ...). Give the table of this panel."
        )
    unknown = {
        "not_in_table": len(names) - len(columns),
        "not_in_panel": len(rows) - len(columns),
    }
    if any(unknown.values()):
        progress.note(
            f"{unknown['not_in_table']} samples of the panel are not in the sample table and are "
            f"left out; {unknown['not_in_panel']} samples of the table are not in the panel."
        )
    columns, split, pairs = split_assignment.draw(names, columns, rows, options, unknown, progress)
    kept = [rows[names[column]] for column in columns.tolist()]
    population = [row.population for row in kept]
    superpopulation = [row.superpopulation for row in kept]
    label = superpopulation if sites.has_labels(superpopulation) else population
    if not (split == TRAIN).any():
        raise InputError(
            f"Nobody of {reader.path} is left to train on. Lower --validation-fraction and "
            "--test-fraction, or give more train samples in the sample table."
        )
    train_labels = {label[n] for n in np.flatnonzero(split == TRAIN).tolist()} - {"."}
    samples = Samples(
        names=[names[column] for column in columns.tolist()],
        population=population,
        superpopulation=superpopulation,
        split=split,
        populations=tuple(sorted(train_labels)),
        relatives=pairs,
    )
    return columns, samples, unknown


def _groups(samples: Samples) -> tuple[NDArray[np.uint8], int]:
    """Packed haplotypes of each split, then of each population; and how many splits.

    returns  (3 + P, ceil(H / 8))
    """
    codes = (TRAIN, VALIDATION, TEST)
    label = np.array(
        samples.superpopulation if sites.has_labels(samples.superpopulation) else samples.population
    )
    is_train = samples.split == TRAIN
    sample_index = [samples.split == code for code in codes]
    sample_index += [is_train & (label == population) for population in samples.populations]
    return tokens.pack(np.repeat(np.stack(sample_index), 2, axis=1).astype(np.uint8)), len(codes)


def _of_contig(segments: list[Segment], contig: str) -> list[Segment]:
    """The segments of a contig, named with or without `chr`."""
    return [segment for segment in segments if sites.find_contig(contig, [segment.contig])]


def _cut(table: Sites, segments: list[Segment] | None, options: PrepareOptions) -> Windows:
    if segments is None:
        return windows.cut(table.contig, options.window_size, options.flank)
    by_contig = [_of_contig(segments, contig) for contig in table.contigs]
    return windows.from_segments(
        by_contig, table.contig, table.position, options.window_size, options.flank
    )


def _write(
    workspace: Workspace,
    table: Sites,
    samples: Samples,
    cut: Windows,
    alleles: AlleleSpool,
    options: PrepareOptions,
    progress: Progress,
) -> str:
    """Write the panel store; returns its fingerprint."""
    progress.start("writing windows", len(cut))

    def packed(window: int) -> NDArray[np.uint8]:
        progress.advance()
        return alleles.window(int(cut.start[window]), int(cut.stop[window]), cut.length)

    return panel.write_panel(workspace.panel, table, samples, cut, packed, settings=_plain(options))


def _plain(options: PrepareOptions) -> dict[str, Any]:
    """Options as JSON types; files by their names, so that stores do not depend on the place."""
    return {
        name: value.name if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(options).items()
    }


def _report(
    reader: reading.VcfReader,
    workspace: Workspace,
    collector: _Collector,
    table: Sites,
    samples: Samples,
    cut: Windows,
    options: PrepareOptions,
    unknown: dict[str, int],
) -> dict[str, Any]:
    """What was read, kept and dropped, as JSON types."""
    store_bytes = sum(file.stat().st_size for file in workspace.panel.rglob("*") if file.is_file())
    input_bytes = reader.path.stat().st_size
    types = Counter(table.site_type.tolist())
    populations = Counter(
        samples.superpopulation if sites.has_labels(samples.superpopulation) else samples.population
    )
    return {
        "panel": str(reader.path),
        "region": None if reader.region is None else str(reader.region),
        "read": {
            "records": collector.num_records,
            "sites": collector.num_sites,
            "samples": len(reader.samples),
        },
        "kept": {
            "sites": len(table),
            "types": {name: types[code] for code, name in enumerate(schema.SITE_TYPES)},
            "contigs": list(table.contigs),
            "windows": len(cut),
        },
        "dropped": {reason: collector.dropped[reason] for reason in REASONS},
        "filled_genotypes": collector.filled_genotypes,
        "samples": {
            "kept": len(samples),
            "splits": {
                name: int((samples.split == code).sum()) for code, name in enumerate(schema.SPLITS)
            },
            "populations": dict(sorted(populations.items())),
            **unknown,
        },
        "genetic_map": str(options.genetic_map or "none; 1 cM per Mb"),
        "bytes": {
            "panel": store_bytes,
            "input": input_bytes,
            "ratio": round(store_bytes / input_bytes, 4),
        },
        "seed": options.seed,
        "options": _plain(options),
    }

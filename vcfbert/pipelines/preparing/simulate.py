"""`simulate`: a phased panel of simulated samples to try the other commands on."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msprime
import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import sites, splits
from vcfbert.domain.sites import SPLITS, TEST, TRAIN
from vcfbert.errors import ConfigError, StoreError
from vcfbert.progress import Progress
from vcfbert.storage.vcf import panel_writer
from vcfbert.storage.vcf.panel_writer import PhasedRecord
from vcfbert.storage.zarr import stores

RECOMBINATION = 1e-8  # per base and generation: 1 cM per Mb
MUTATION = 1.25e-8
TEST_FRACTION = 0.1
PAR_SHARE = 0.2
TYPED_MAF = 0.01
TYPED_SHARE = 0.5
MAP_STEP = 100_000

POPULATIONS = {"YRI": "AFR", "CEU": "EUR", "CHB": "EAS"}
"""Sampled populations and their superpopulations."""

FILES = (
    "panel.vcf.gz.tbi",
    "samples.tsv",
    "genetic.map",
    "typed.tsv",
    "target.vcf.gz.tbi",
    "target.vcf.gz",
    "panel.vcf.gz",
)
"""Files in the folder; the panel is moved last, so if it is there the others are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulateOptions:
    """Options of `simulate`."""

    num_samples: int = 500
    """Samples, divided evenly among the populations."""

    length: int = 2_000_000
    """Length in bases."""

    seed: int = 1
    """Seed; the same seed gives the same files."""

    chromosome: Literal["1", "X"] = "1"
    """Name of the contig; on X, every second sample is a male and haploid but for the first
    PAR_SHARE of the length, and sex.tsv lists who is."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_samples < 2 * len(POPULATIONS):
            raise ConfigError(f"--num-samples must be at least {2 * len(POPULATIONS)}.")
        if self.length < 1000:
            raise ConfigError(f"--length must be at least 1000 bases, got {self.length}.")
        if not 1 <= self.seed < 2**31:
            raise ConfigError(f"--seed must be at least 1 and below 2**31, got {self.seed}.")
        if self.chromosome not in ("1", "X"):
            raise ConfigError(f"--chromosome must be 1 or X, got {self.chromosome}.")

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that are written; the panel is moved last."""
        return FILES if self.chromosome == "1" else ("sex.tsv", *FILES)

    @property
    def is_male(self) -> NDArray[np.bool_]:
        """(N,) males of the X chromosome; none on an autosome."""
        is_odd: NDArray[np.bool_] = np.arange(self.num_samples) % 2 == 1
        return is_odd if self.chromosome == "X" else np.zeros_like(is_odd)

    @property
    def first_haploid(self) -> int:
        """First position outside the pseudo-autosomal region of X."""
        return int(PAR_SHARE * self.length) + 1


@dataclass(frozen=True)
class SimulateSummary:
    """What was written."""

    folder: Path
    num_samples: int
    num_records: int
    num_typed: int
    seconds: float
    files: tuple[str, ...]
    num_males: int

    def lines(self) -> list[str]:
        """The summary as a table."""
        return [
            f"samples  {self.num_samples:,}, {2 * self.num_samples:,} haplotypes"
            + (f", {plurals.of(self.num_males, 'haploid male')}" if self.num_males else ""),
            f"records  {self.num_records:,}",
            f"typed    {plurals.of(self.num_typed, 'site')} in typed.tsv",
            f"seconds  {self.seconds:.1f}",
            f"files    {', '.join(sorted(self.files))} in {self.folder}",
        ]


def simulate(
    folder: Path, options: SimulateOptions, *, progress: Progress, overwrite: bool = False
) -> SimulateSummary:
    """Write a panel, its sample table and map, and a target to impute into `folder`.

    FILES lists what is written. The target has the test samples, typed at the sites of typed.tsv.
    Other files in the folder are left alone.

    Raises StoreError if one of the files exists and `overwrite` is off.
    """
    started = time.perf_counter()
    with stores.staging(folder / "simulate") as partial:
        present = [folder / name for name in options.files if (folder / name).exists()]
        if present and not overwrite:
            raise StoreError.exists(present[0])
        try:
            progress.start("simulating", 2)
            records = list(_records(options))
            progress.advance()
            num_typed = _write(partial, records, options)
            progress.advance()
            stores.sync_tree(partial)
            for name in options.files:
                (partial / name).replace(folder / name)
        except OSError as error:
            raise StoreError(f"Cannot write into {folder}: {error.strerror or error}.") from error
    seconds = time.perf_counter() - started
    return SimulateSummary(
        folder,
        options.num_samples,
        len(records),
        num_typed,
        seconds,
        options.files,
        int(options.is_male.sum()),
    )


def out_of_africa(scale: float = 1.0, pace: float = 1.0) -> msprime.Demography:
    """Three populations as in Gutenkunst et al. 2009, with 25 years a generation.

    scale  factor of all population sizes
    pace   factor of growth rates; times are divided by it
    """
    split = 848 / pace  # 21,200 years
    demography = msprime.Demography()
    demography.add_population(name="YRI", initial_size=12_300 * scale)
    for name, size, rate in (("CEU", 1_000, 0.004 * pace), ("CHB", 510, 0.0055 * pace)):
        # msprime takes the size at the present, after growth since the split.
        present = scale * size * float(np.exp(rate * split))
        demography.add_population(name=name, initial_size=present, growth_rate=rate)
    demography.add_population(name="OOA", initial_size=2_100 * scale)
    demography.add_population(name="AMH", initial_size=12_300 * scale)
    demography.add_population(name="ANC", initial_size=7_300 * scale)
    demography.set_symmetric_migration_rate(["YRI", "CEU"], 3e-5)
    demography.set_symmetric_migration_rate(["YRI", "CHB"], 1.9e-5)
    demography.set_symmetric_migration_rate(["CEU", "CHB"], 9.6e-5)
    demography.add_population_split(time=split, derived=["CEU", "CHB"], ancestral="OOA")
    demography.add_symmetric_migration_rate_change(split, ["YRI", "OOA"], 25e-5)
    demography.add_population_split(time=5_600 / pace, derived=["OOA", "YRI"], ancestral="AMH")
    demography.add_population_split(time=8_800 / pace, derived=["AMH"], ancestral="ANC")
    return demography


def _populations(num_samples: int) -> list[str]:
    """The population of each sample, in the order of the panel."""
    share, spare = divmod(num_samples, len(POPULATIONS))
    return [
        name
        for number, name in enumerate(POPULATIONS)
        for _ in range(share + (1 if number < spare else 0))
    ]


def _records(options: SimulateOptions) -> Iterator[PhasedRecord]:
    """Simulated sites with nucleotide alleles; a site hit twice may have several ALT."""
    populations = _populations(options.num_samples)
    trees = msprime.sim_ancestry(
        samples={name: populations.count(name) for name in POPULATIONS},
        demography=out_of_africa(),
        sequence_length=options.length,
        recombination_rate=RECOMBINATION,
        random_seed=options.seed,
    )
    mutated = msprime.sim_mutations(trees, rate=MUTATION, random_seed=options.seed)
    for number, variant in enumerate(mutated.variants(), start=1):
        position = int(variant.site.position) + 1
        if len(variant.alleles) > 1:
            yield PhasedRecord(
                position=position,
                identifier=f"sim{number}",
                alleles=variant.alleles,
                genotypes=variant.genotypes.astype(np.int8),  # a quarter of the memory
                is_haploid=options.is_male if position >= options.first_haploid else None,
            )


def _write(folder: Path, records: list[PhasedRecord], options: SimulateOptions) -> int:
    """Write all files; returns the number of typed sites."""
    populations = _populations(options.num_samples)
    names = [f"sample{number:04d}" for number in range(1, options.num_samples + 1)]
    split = splits.complete(
        np.full(options.num_samples, splits.UNKNOWN, dtype=np.int8),
        populations,
        validation_fraction=0.0,
        test_fraction=TEST_FRACTION,
        seed=options.seed,
    )
    rows = [
        f"{name}\t{population}\t{POPULATIONS[population]}\t{SPLITS[code]}\n"
        for name, population, code in zip(names, populations, split, strict=True)
    ]
    _text(folder / "samples.tsv", ["sample\tpopulation\tsuperpopulation\tsplit\n", *rows])
    points = [*range(1, options.length, MAP_STEP), options.length]
    _text(
        folder / "genetic.map",
        [
            f"{options.chromosome} . {100 * RECOMBINATION * (point - 1):.6f} {point}\n"
            for point in points
        ],
    )
    train = sites.haplotypes_of(np.flatnonzero(split == TRAIN).astype(np.int64))
    typed = _typed(records, train, np.random.default_rng(options.seed))
    _text(folder / "typed.tsv", [f"{options.chromosome}\t{position}\n" for position in typed])
    test = np.flatnonzero(split == TEST).astype(np.int64)
    _write_target(folder / "target.vcf.gz", records, typed, test, names, options)
    panel_writer.write_panel_vcf(
        folder / "panel.vcf.gz", options.chromosome, options.length, names, records
    )
    if options.chromosome == "X":
        sexes = np.where(options.is_male, "male", "female").tolist()
        rows = [f"{name}\t{sex}\n" for name, sex in zip(names, sexes, strict=True)]
        _text(folder / "sex.tsv", ["sample\tsex\n", *rows])
    return len(typed)


def _write_target(
    path: Path,
    records: list[PhasedRecord],
    typed: list[int],
    samples: NDArray[np.int64],
    names: list[str],
    options: SimulateOptions,
) -> None:
    """Write the test samples at the typed sites only, as a genotyping array would."""
    kept, rows = set(typed), sites.haplotypes_of(samples)
    of_target = [
        dataclasses.replace(
            record,
            genotypes=record.genotypes[rows],
            is_haploid=None if record.is_haploid is None else record.is_haploid[samples],
        )
        for record in records
        if record.position in kept
    ]
    chosen = [names[sample] for sample in samples]
    panel_writer.write_panel_vcf(path, options.chromosome, options.length, chosen, of_target)


def _typed(
    records: list[PhasedRecord], train: NDArray[np.int64], rng: np.random.Generator
) -> list[int]:
    """Positions of a random half of the biallelic sites that are common in the train samples."""
    common = []
    for record in records:
        frequency = np.array([record.genotypes[train].mean()])
        if len(record.alleles) == 2 and sites.minor(frequency)[0] >= TYPED_MAF:
            common.append(record.position)
    chosen = rng.permutation(len(common))[: round(TYPED_SHARE * len(common))]
    return [common[place] for place in np.sort(chosen).tolist()]


def _text(path: Path, lines: list[str]) -> None:
    path.write_text("".join(lines), encoding="utf-8")

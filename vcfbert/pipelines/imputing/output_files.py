"""What `impute` writes in addition to the imputed genotypes of the panel's sites.

Records that only the target has, IDs of the target, facts about the contigs, and the file of
left-out typed sites for meta-imputation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.domain import dosage, typed_only
from vcfbert.domain.genome import Genome
from vcfbert.domain.sites import Region, Sites
from vcfbert.domain.typed_only import TypedOnly
from vcfbert.pipelines.chunks import chunk_plan
from vcfbert.pipelines.parts.joined_chunk import JoinedChunk, SiteRows
from vcfbert.storage.vcf import output_file, prediction_writer
from vcfbert.storage.vcf.output_header import EMPIRICAL, HeaderFacts
from vcfbert.storage.vcf.prediction_writer import PredictionWriter
from vcfbert.storage.vcf.target import Target

FEWEST_FOR_DR2 = dosage.FEWEST_FOR_DR2

EMPIRICAL_SUFFIX = ".empiricalDose.vcf.gz"
"""MetaMinimac2 looks for PREFIX.dose.vcf.gz and PREFIX.empiricalDose.vcf.gz."""


@dataclass(frozen=True)
class OutputContent:
    """What the output contains besides genotypes.

    sites   that are written
    typed   (t,) indexes of typed sites among them, rising
    kept    records of the target that the panel lacks
    names   of the samples
    """

    sites: Sites
    typed: NDArray[np.int64]
    kept: list[TypedOnly]
    names: list[str]
    header: HeaderFacts


def empirical_path(out: Path) -> Path:
    """The file of left-out typed sites next to an output.

    >>> empirical_path(Path("a/b.dose.vcf.gz")).as_posix(), empirical_path(Path("b.bcf")).as_posix()
    ('a/b.empiricalDose.vcf.gz', 'b.empiricalDose.vcf.gz')
    """
    name = stem(out).removesuffix(".dose")
    return out.with_name(f"{name}{EMPIRICAL_SUFFIX}")


def parts_folder(out: Path) -> Path:
    """Default folder of the finished parts, next to the output.

    >>> parts_folder(Path("a/imputed.vcf.gz")).as_posix()
    'a/imputed.parts'
    """
    return out.with_name(f"{stem(out)}.parts")


def stem(out: Path) -> str:
    """The name of an output without its suffix.

    >>> stem(Path("a/imputed.vcf.bgz"))
    'imputed'
    """
    for suffix in output_file.SUFFIXES:
        if out.name.endswith(suffix):
            return out.name.removesuffix(suffix)
    return out.name


def with_ids(sites: Sites, read: Target) -> Sites:
    """The sites with the target's IDs where the panel has none."""
    identifier = list(sites.identifier)
    for site, name in zip(read.site_index.tolist(), read.identifiers, strict=True):
        if identifier[site] == ".":
            identifier[site] = name
    return replace(sites, identifier=identifier)


def other_builds(sites: Sites, of_panel: Genome, of_target: Genome) -> list[str]:
    """A warning if the headers of panel and target give a contig different lengths."""
    last = {name: 0 for name in sites.last_positions()}
    here, there = of_panel.of(last).lengths, of_target.of(last).lengths
    for name, length in here.items():
        if there.get(name, length) != length:
            return [
                f"Contig {name} has {plurals.of(length, 'base')} in the header of the panel's file "
                f"and {there[name]:,} in the target's. The files may have different genome builds."
            ]
    return []


def records_to_keep(
    others: list[TypedOnly], written: Sites, region: str | None, is_kept: NDArray[np.bool_]
) -> list[TypedOnly]:
    """The target's other records on the contigs that are written, in the order of the output.

    is_kept  (N,) True for samples that keep the order of the file; other heterozygotes are unphased
    """
    numbers = sorted(set(written.contig.tolist()))
    contigs = {written.contigs[number]: number for number in numbers}
    parsed = None
    if region is not None:
        parsed = Region.parse(region, written.contigs, source="the panel")
    return [one.unphased(~is_kept) for one in typed_only.chosen(others, contigs, parsed)]


def about_dr2(names: Sequence[str]) -> list[str]:
    """A header line that says why there is no DR2, if there is none."""
    if len(names) >= FEWEST_FOR_DR2:
        return []
    return [f"##vcfbert_quality=DR2 needs {FEWEST_FOR_DR2} samples; filter on PR2"]


@contextmanager
def create_empirical(
    out: Path, content: OutputContent, *, threads: int, overwrite: bool
) -> Iterator[EmpiricalWriter]:
    """Yield a writer whose file appears next to `out` if the block completes."""
    with prediction_writer.create_predictions(
        empirical_path(out),
        chunk_plan.take(content.sites, content.typed),
        content.names,
        header=content.header,
        layout=EMPIRICAL,
        threads=threads,
        overwrite=overwrite,
    ) as writer:
        yield EmpiricalWriter(writer)


class EmpiricalWriter:
    """Writes typed sites as if they were not typed, some at a time."""

    def __init__(self, writer: PredictionWriter) -> None:
        """Nothing is written yet."""
        self._writer = writer
        self._first = 0

    def write(self, chunk: JoinedChunk, block: SiteRows) -> None:
        """Write the typed ones of some sites. A missing allele is written as its best guess."""
        assert chunk.er2 is not None, "parts of this output have the sums for ER2"
        is_typed = chunk.is_typed[block.rows]
        calls = (block.alt[is_typed] > dosage.CALL_ABOVE).astype(np.uint8)
        self._writer.write(
            self._first,
            replace(dosage.from_haplotypes(block.left_out), calls=calls),
            np.zeros(len(calls), np.bool_),
            er2=chunk.er2[block.rows][is_typed],
            is_haploid=chunk.is_haploid,
        )
        self._first += len(calls)

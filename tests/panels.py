"""Tiny panels for tests: VCFs as text and workspaces with a small hand-made panel.

S sites, N samples, H = 2 N haplotypes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pysam
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens, windows
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION, Samples, Sites
from vcfbert.storage.zarr import panel
from vcfbert.storage.zarr.workspace import Workspace

SHARED_CHR20 = Path(__file__).resolve().parents[2] / "shared" / "data" / "chr20"
"""The real panel next to the repository; tests that need it carry `pytest.mark.shared`."""

Record = tuple[str, int, str, str, Sequence[str]]
"""Contig, position, REF, ALT and one GT text per sample."""

HEADER = (
    "##fileformat=VCFv4.2\n"
    '##FILTER=<ID=PASS,Description="All filters passed">\n'
    "{contigs}"
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}\n"
)


def vcf_text(records: Sequence[Record], names: Sequence[str]) -> str:
    """A VCF with GT only; IDs are rs1, rs2, ... in order."""
    contigs = dict.fromkeys(record[0] for record in records)
    lines = [
        f"{contig}\t{position}\trs{number}\t{ref}\t{alt}\t.\tPASS\t.\tGT\t" + "\t".join(genotypes)
        for number, (contig, position, ref, alt, genotypes) in enumerate(records, start=1)
    ]
    header = HEADER.format(
        contigs="".join(f"##contig=<ID={contig},length=1000000000>\n" for contig in contigs),
        names="\t".join(names),
    )
    return header + "".join(f"{line}\n" for line in lines)


def write_vcf(
    path: Path,
    records: Sequence[Record],
    names: Sequence[str] | None = None,
    *,
    index: bool = True,
) -> Path:
    """Write a VCF; `.gz` is BGZF, with a tabix index unless `index` is off.

    names  of the samples; s0, s1, ... by default
    """
    if names is None:
        names = [f"s{n}" for n in range(len(records[0][4]) if records else 2)]
    text = vcf_text(records, names)
    if path.suffix != ".gz":
        path.write_text(text, encoding="utf-8")
        return path
    with pysam.BGZFile(str(path), "w") as stream:
        stream.write(text.encode("utf-8"))
    if index:
        pysam.tabix_index(str(path), preset="vcf", force=True)
    return path


def records_of(alleles: NDArray[np.uint8], *, contig: str = "20", step: int = 100) -> list[Record]:
    """Phased A>G records, `step` bases apart, from alleles (S, H)."""
    pairs = alleles.reshape(len(alleles), -1, 2)
    return [
        (contig, (site + 1) * step, "A", "G", [f"{a}|{b}" for a, b in row])
        for site, row in enumerate(pairs.tolist())
    ]


def mosaic_alleles(
    num_sites: int, num_haplotypes: int, *, seed: int = 7, founders: int = 8, stretch: int = 25
) -> NDArray[np.uint8]:
    """Haplotypes that copy founders in stretches, so that neighbours carry information.

    returns  (num_sites, num_haplotypes); both alleles occur at every site
    """
    rng = np.random.default_rng(seed)
    frequency = rng.beta(0.6, 1.2, num_sites).clip(0.08, 0.92)
    pool = (rng.random((num_sites, founders)) < frequency[:, None]).astype(np.uint8)
    switch = rng.random((num_sites, num_haplotypes)) < 1.0 / stretch
    source = rng.integers(founders, size=(num_sites, num_haplotypes))
    for site in range(1, num_sites):
        source[site] = np.where(switch[site], source[site], source[site - 1])
    alleles = np.take_along_axis(pool, source, axis=1)
    alleles[:, 0], alleles[:, 1] = 1, 0
    return alleles


def split_of(num_samples: int) -> NDArray[np.int8]:
    """Every tenth sample is for validation, every tenth for testing, the others for training."""
    split = np.full(num_samples, TRAIN, dtype=np.int8)
    split[3::10] = VALIDATION
    split[7::10] = TEST
    return split


def write_small_panel(
    path: Path,
    *,
    num_samples: int = 60,
    num_sites: int = 120,
    length: int = 32,
    flank: int = 2,
    seed: int = 7,
    overwrite: bool = False,
) -> NDArray[np.uint8]:
    """Write a panel store without a VCF; returns its alleles (num_sites, 2 num_samples).

    Two superpopulations, EAST (even samples) and WEST (odd samples), one contig, 120 kb, 0.12 cM.
    """
    alleles = mosaic_alleles(num_sites, 2 * num_samples, seed=seed)
    superpopulation = [("EAST", "WEST")[n % 2] for n in range(num_samples)]
    samples = Samples(
        names=[f"s{n}" for n in range(num_samples)],
        population=[f"P{n % 4}" for n in range(num_samples)],
        superpopulation=superpopulation,
        split=split_of(num_samples),
        populations=("EAST", "WEST"),
    )
    train = samples.split == TRAIN
    position = (np.arange(num_sites, dtype=np.int32) + 1) * 1000
    sites = Sites(
        contigs=("20",),
        contig=np.zeros(num_sites, dtype=np.int32),
        position=position,
        record=np.arange(num_sites, dtype=np.int32),
        info=["."] * num_sites,
        identifier=[f"rs{site}" for site in range(num_sites)],
        ref=["A"] * num_sites,
        alt=["G"] * num_sites,
        site_type=np.zeros(num_sites, dtype=np.int8),
        cm=position / 1e6,
        alt_count=_counts(alleles, [samples.split == code for code in (TRAIN, VALIDATION, TEST)]),
        population_alt_count=_counts(
            alleles, [train & (np.array(superpopulation) == name) for name in ("EAST", "WEST")]
        ),
    )
    cut = windows.cut(sites.contig, length, flank)

    def packed(window: int) -> NDArray[np.uint8]:
        block = alleles[cut.sites(window)].T
        return tokens.pack(np.pad(block, ((0, 0), (0, length - block.shape[1]))))

    panel.write_panel(path, sites, samples, cut, packed, settings={}, overwrite=overwrite)
    return alleles


def small_workspace(root: Path) -> Workspace:
    """A workspace with the small panel only."""
    workspace = Workspace(root)
    write_small_panel(workspace.panel)
    return workspace


def _counts(alleles: NDArray[np.uint8], groups: Sequence[NDArray[np.bool_]]) -> NDArray[np.int32]:
    haplotypes = [site_tables.haplotypes_of(np.flatnonzero(group)) for group in groups]
    return np.stack([alleles[:, chosen].sum(axis=1, dtype=np.int32) for chosen in haplotypes], 1)

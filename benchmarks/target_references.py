"""Phasing with the other samples of the target: switch error, r2, time and memory.

    python benchmarks/target_references.py FOLDER [--samples 250 1000 5000] [--panel 500]

The first samples of a simulated European population (6 cM) are the panel. The others
are typed at 690 common sites, unphased. Each target is phased, and imputed at every fourth site,
with the panel alone, and with the other samples as well; the true phase is imputed for comparison.
r2 is of the first 250 samples over sites that are not typed, by minor allele frequency in the
panel. Seconds are CPU seconds of the whole process. Writes results/target_references.csv.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import msprime
import numpy as np
from comparison import options, tables
from comparison.processes import Measured, command, measure
from comparison.report import Row
from cyvcf2 import VCF
from numpy.typing import NDArray

from vcfbert.pipelines.preparing.simulate import MUTATION, RECOMBINATION, out_of_africa

LENGTH = 6_000_000
TYPED, TYPED_MAF = 690, 0.05
EVERY = 4
SCORED = 250
EDGES = (0.0, 0.002, 0.005, 0.01, 0.05, 0.5)
HEAD = (
    '##fileformat=VCFv4.2\n##contig=<ID=1>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t"
)


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=[250, 1000, 5000])
    parser.add_argument("--panel", type=int, default=500)
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    position, alleles = simulate(arguments.panel + max(arguments.samples), arguments.panel)
    frequency = alleles[:, : 2 * arguments.panel].mean(axis=1)
    maf = np.minimum(frequency, 1 - frequency)
    rng = np.random.default_rng(arguments.seed)
    typed = np.sort(rng.choice(np.flatnonzero(maf >= TYPED_MAF), TYPED, replace=False))
    panel, work = folder / "panel.vcf", folder / "work"
    write(panel, position, alleles[:, : 2 * arguments.panel], "|")
    measure(command(arguments.vcfbert, "prepare", panel, "-w", work, "--force"), folder / "log")
    scored = np.setdiff1d(np.arange(0, len(position), EVERY), typed)
    chosen = "".join(f"1\t{place}\n" for place in position[scored].tolist())
    (folder / "sites.tsv").write_text(chosen, encoding="utf-8")
    rows: list[Row] = []
    for count in arguments.samples:
        of_target = alleles[:, 2 * arguments.panel :][:, : 2 * count]
        rows += measure_target(folder, position, of_target, typed, scored, maf, arguments)
        tables.write_csv(arguments.results / "target_references.csv", rows)
    print(tables.rows_text(rows))


def simulate(count: int, panel: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Positions (S,) and alleles (S, 2 count) of sites that vary in the panel."""
    trees = msprime.sim_ancestry(
        samples={"CEU": count}, demography=out_of_africa(), sequence_length=LENGTH,
        recombination_rate=RECOMBINATION, random_seed=7,
    )  # fmt: skip
    model = msprime.BinaryMutationModel()
    trees = msprime.sim_mutations(trees, rate=MUTATION, random_seed=7, model=model)
    alleles = trees.genotype_matrix().astype(np.uint8)
    copies = alleles[:, : 2 * panel].sum(axis=1)
    kept = np.flatnonzero((copies > 0) & (copies < 2 * panel))
    return trees.tables.sites.position[kept].astype(np.int64) + 1, alleles[kept]


def write(path: Path, position: NDArray[np.int64], alleles: NDArray[np.uint8], sep: str) -> None:
    """A VCF; alleles (S, 2 N)."""
    cell = np.full((alleles.shape[1] // 2, 4), ord(sep), np.uint8)
    cell[:, 3] = ord("\t")
    cell[-1, 3] = ord("\n")
    first = path.name[0]
    with path.open("wb") as out:
        out.write((HEAD + "\t".join(f"{first}{n}" for n in range(len(cell))) + "\n").encode())
        for place, row in zip(position.tolist(), alleles, strict=True):
            cell[:, 0:3:2] = row.reshape(-1, 2) + ord("0")
            out.write(f"1\t{place}\t.\tA\tC\t.\t.\t.\tGT\t".encode() + cell.tobytes())


def measure_target(
    folder: Path,
    position: NDArray[np.int64],
    truth: NDArray[np.uint8],
    typed: NDArray[np.int64],
    scored: NDArray[np.int64],
    maf: NDArray[np.float64],
    arguments: argparse.Namespace,
) -> list[Row]:
    """The rows of one target.

    truth          (S, 2 N)
    typed, scored  indexes of sites
    """
    pairs = truth[typed].reshape(len(typed), -1, 2)
    target, phased = folder / "target.vcf", folder / "true.vcf"
    write(target, position[typed], np.sort(pairs, axis=2).reshape(len(typed), -1), "/")
    write(phased, position[typed], truth[typed], "|")
    rows: list[Row] = []
    for name, source, choice in (
        ("panel alone", target, "off"), ("panel and target", target, "on"),
        ("true phase", phased, "off"),
    ):  # fmt: skip
        row: Row = {"panel": arguments.panel, "target": pairs.shape[1], "references": name}
        words = ("-w", folder / "work", "--force", "--threads", arguments.threads,
                 "--target-references", choice)  # fmt: skip
        out = folder / "phased.vcf.gz"
        if source is target:
            done = measured(arguments.vcfbert, ("phase", source, "-o", out, *words), folder)
            row |= {"switch error %": round(100 * switch_error(out, pairs), 3),
                    "phase CPU s": round(done.processor, 1),
                    "phase MB": round(done.megabytes)}  # fmt: skip
        else:
            row |= {"switch error %": 0.0, "phase CPU s": 0.0, "phase MB": 0}
        out = folder / "imputed.vcf.gz"
        words = (*words, "--format", "DS", "--sites", folder / "sites.tsv")
        done = measured(arguments.vcfbert, ("impute", source, "-o", out, *words), folder)
        row |= r2(out, truth[scored, : 2 * SCORED], maf[scored])
        row |= {"impute CPU s": round(done.processor, 1), "impute MB": round(done.megabytes)}
        rows.append(row)
        print(row, flush=True)
    return rows


def measured(program: Path, words: Sequence[object], folder: Path) -> Measured:
    return measure(command(program, *words), folder / "log")


def switch_error(path: Path, truth: NDArray[np.uint8]) -> float:
    """Share of the steps between heterozygotes that are wrong; truth (T, N, 2)."""
    found = np.array([record.genotype.array()[:, :2] for record in VCF(str(path))])
    wrong = total = 0
    for sample in range(truth.shape[1]):
        hets = np.flatnonzero(truth[:, sample, 0] != truth[:, sample, 1])
        is_other = found[hets, sample, 0] != truth[hets, sample, 0]
        wrong += int((is_other[1:] != is_other[:-1]).sum())
        total += max(len(hets) - 1, 0)
    return wrong / total


def r2(path: Path, truth: NDArray[np.uint8], maf: NDArray[np.float64]) -> Row:
    """Squared correlation over all genotypes in each range of frequencies; truth (S, 2 n)."""
    copies = truth.reshape(len(truth), -1, 2).sum(axis=2).astype(np.float64)
    count = copies.shape[1]
    dosage = np.array([record.format("DS")[:count, 0] for record in VCF(str(path))], np.float64)
    row: Row = {}
    for low, high in itertools.pairwise(EDGES):
        chosen = (maf > low) & (maf <= high)
        value = np.corrcoef(copies[chosen].ravel(), dosage[chosen].ravel())[0, 1] ** 2
        row[f"r2 ({100 * low:g}, {100 * high:g}] %"] = round(float(value), 4)
    return row


if __name__ == "__main__":
    sys.exit(main())

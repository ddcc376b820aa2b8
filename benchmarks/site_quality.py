"""How well PR2, and DR2 of some of the samples, tell the true r2 of a site.

    python benchmarks/site_quality.py TRUTH.vcf.gz IMPUTED.vcf.gz [--copies 10]

IMPUTED is an output of `impute` with HDS for the samples of TRUTH. Of the imputed sites, those with
at least `--copies` copies of the rarer allele among the samples are counted. DR2 of the first N
samples is computed here; 0 if they do not vary.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from cyvcf2 import VCF
from numpy.typing import NDArray

from vcfbert.domain import dosage

NUM_SAMPLES = (1, 5, 10, 20, 50, 100, 250)
FILTER, GOOD = 0.3, 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("truth", type=Path)
    parser.add_argument("imputed", type=Path)
    parser.add_argument("--copies", type=int, default=10)
    arguments = parser.parse_args()
    alleles, haplotypes, pr2 = read(arguments.truth, arguments.imputed)
    copies = alleles.sum(axis=(1, 2))
    enough = np.minimum(copies, alleles[0].size - copies) >= arguments.copies
    alleles, haplotypes, pr2 = alleles[enough], haplotypes[enough], pr2[enough]
    true = true_r2(alleles, haplotypes)
    estimates = {
        f"DR2 of {n} samples": dosage.estimated_r2(haplotypes[:, :n])
        for n in NUM_SAMPLES
        if n <= alleles.shape[1]
    }
    print(f"{len(true):,} sites, mean true r2 {np.nanmean(true):.3f}")
    print("estimate              r     mean  error  good sites lost")
    for name, estimate in (estimates | {"PR2": pr2}).items():
        known = ~np.isnan(estimate) & ~np.isnan(true)
        found, fact = estimate[known], true[known]
        is_good = fact > GOOD
        print(
            f"{name:<20} {np.corrcoef(found, fact)[0, 1]:.3f}  {found.mean():.3f}  "
            f"{np.sqrt(((found - fact) ** 2).mean()):.3f}  {(found[is_good] < FILTER).mean():.3f}"
        )


def read(
    truth: Path, imputed: Path
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]:
    """Of the imputed sites: true alleles (S, N, 2), HDS (S, N, 2) and PR2 (S,)."""
    known = {key(record): record.genotype.array()[:, :2] for record in VCF(str(truth))}
    samples = VCF(str(truth)).samples
    columns = [VCF(str(imputed)).samples.index(name) for name in samples]
    alleles, haplotypes, pr2 = [], [], []
    for record in VCF(str(imputed)):
        if record.INFO.get("IMP") and key(record) in known:
            alleles.append(known[key(record)])
            haplotypes.append(record.format("HDS")[columns])
            pr2.append(record.INFO.get("PR2", np.nan))
    return np.array(alleles, np.float64), np.array(haplotypes, np.float32), np.array(pr2, float)


def key(record: VCF) -> tuple[str, int, str, str]:
    return record.CHROM, record.POS, record.REF, record.ALT[0]


def true_r2(alleles: NDArray[np.float64], haplotypes: NDArray[np.float32]) -> NDArray[np.float64]:
    """(S,) squared correlation over haplotypes; NaN if the imputed ones do not vary."""
    return dosage.empirical_r2(alleles.astype(np.uint8), haplotypes)


if __name__ == "__main__":
    main()

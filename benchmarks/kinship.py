"""Duplicates and close relatives in a panel: planted pairs found, unrelated pairs reported.

Writes benchmarks/results/kinship.csv. Planted are children of random couples of a panel, two of
each (crossovers along the map), and samples once more with a share of their genotypes wrong. The
real panel is the 7.7 cM of chr20; the others are simulated, contigs of 30 cM each.

    python benchmarks/kinship.py PANEL_STORE [CM ...]
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import msprime
import numpy as np

from vcfbert.domain import kinship
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.panel import open_panel

COUPLES, TWICE, ERRORS = 100, 100, 0.005
CONTIG_CM, SAMPLES = 30.0, 600
FIELDS = (
    "panel", "cm", "samples", "sites", "seconds", "pairs", "unrelated_first_degree",
    "unrelated_same", "parents_found", "parents", "siblings_found", "siblings", "twice_same",
    "twice", "children_same",
)  # fmt: skip


def child(alleles, contig, cm, couple, rng):
    """(M, 2) a gamete of either parent, crossovers by Haldane's map."""
    step = np.where(np.diff(contig, prepend=-1) != 0, np.inf, np.diff(cm, prepend=0))
    crosses = rng.random((2, len(cm))) < (1 - np.exp(-2 * step / 100)) / 2
    side = np.cumsum(crosses, axis=1) % 2
    rows = np.arange(len(cm))
    return np.stack([alleles[rows, 2 * p + side[k]] for k, p in enumerate(couple)], axis=1)


def planted(name, alleles, contig, cm, seed=1):
    """Figures of one panel; alleles (M, H) at sites that were thinned."""
    rng = np.random.default_rng(seed)
    count = alleles.shape[1] // 2
    couples = [rng.choice(count, 2, replace=False) for _ in range(COUPLES)]
    children = [child(alleles, contig, cm, couple, rng) for couple in couples for _ in range(2)]
    genotypes = alleles[:, 0::2] + alleles[:, 1::2]
    twice = rng.choice(count, TWICE, replace=False)
    again = genotypes[:, twice].copy()
    is_wrong = rng.random(again.shape) < ERRORS
    again[is_wrong] = (again[is_wrong] + rng.integers(1, 3, is_wrong.sum(), dtype=np.uint8)) % 3
    young = np.stack([one.sum(axis=1, dtype=np.uint8) for one in children], axis=1)
    begun = time.perf_counter()
    kinship.close_pairs(genotypes, None, None)
    seconds = time.perf_counter() - begun
    everyone = np.concatenate([genotypes, young, again], axis=1)
    pairs = kinship.close_pairs(everyone, None, kinship.FIRST_DEGREE)
    both = list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    found, same = set(both), {p for p, is_same in zip(both, pairs.is_same, strict=True) if is_same}
    parents = {
        (int(p), count + 2 * n + k) for n, c in enumerate(couples) for p in c for k in (0, 1)
    }
    siblings = {(count + 2 * n, count + 2 * n + 1) for n in range(COUPLES)}
    copies = {(int(p), count + 2 * COUPLES + n) for n, p in enumerate(twice)}
    unrelated = {pair for pair in found if pair[1] < count}
    length = kinship.length_cm(contig, cm)
    values = (
        name, round(length, 1), count, len(cm), round(seconds, 3), count * (count - 1) // 2,
        len(unrelated), len(unrelated & same), len(found & parents), len(parents),
        len(found & siblings), len(siblings), len(same & copies), len(copies),
        len(same & (parents | siblings)),
    )  # fmt: skip
    return dict(zip(FIELDS, values, strict=True))


def of_panel(path):
    with open_panel(path) as panel:
        sites = panel.sites
        frequency = sites.alt_count.sum(axis=1) / (2 * len(panel.samples))
        chosen = kinship.thinned(frequency, sites.contig, sites.cm)
        alleles = haplotypes.read_alleles(panel, chosen)
        return planted("1000 Genomes chr20", alleles, sites.contig[chosen], sites.cm[chosen])


def simulated(length):
    """Two populations of 10,000 and 5,000 samples that exchange few."""
    samples = msprime.Demography.island_model([10_000, 5_000], migration_rate=1e-4)
    alleles, contig, cm = [], [], []
    for number in range(max(1, round(length / CONTIG_CM))):
        each = min(length, CONTIG_CM)
        trees = msprime.sim_ancestry(
            {0: SAMPLES // 2, 1: SAMPLES // 2}, demography=samples, sequence_length=each * 1e6,
            recombination_rate=1e-8, random_seed=number + 1,
        )  # fmt: skip
        trees = msprime.sim_mutations(
            trees, rate=2e-9, model=msprime.BinaryMutationModel(), random_seed=number + 1
        )
        alleles.append(trees.genotype_matrix().astype(np.uint8))
        cm.append(trees.tables.sites.position / 1e6)
        contig.append(np.full(trees.num_sites, number))
    alleles, contig, cm = map(np.concatenate, (alleles, contig, cm))
    chosen = kinship.thinned(alleles.mean(axis=1), contig, cm)
    return planted("simulated", alleles[chosen], contig[chosen], cm[chosen])


if __name__ == "__main__":
    rows = [of_panel(Path(sys.argv[1]))]
    rows += [simulated(float(length)) for length in sys.argv[2:] or ("10", "30", "120", "300")]
    out = Path(__file__).parent / "results" / "kinship.csv"
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(row)

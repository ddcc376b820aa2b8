"""Recall and speed of the fast index by panel size, next to the exact one.

    OMP_NUM_THREADS=1 nice python benchmarks/fast_index.py [--csv FILE] [--sizes 5000,20000]

Haplotypes of one window come from a simulation of three human populations (the demography of
`vcfbert simulate`); 64 more are the queries. Each row of the CSV is the mean over masks that hide
30 % and 90 % of the sites and weights that are all 1 or vary as those of an encoder (log-normal),
for one way to search: the whole window with K = 32, or a segment of it with K = 4.

recall  share of the neighbours that are no farther than the last one of the exact search
same    share of the neighbours that the exact search has at the same rank; ties may differ

`ivf` is the other way to search less than everything: FAISS's IndexBinaryIVF on Hamming distances
of whole haplotypes, whose candidates, as many as the fast index has, are ranked by exact distances.
It cannot read masks and weights, which the query vector of the fast index contains.

The settings of the fast index were chosen on seed 1.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import faiss
import msprime
import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import tokens
from vcfbert.pipelines.preparing import simulate
from vcfbert.retrieval import exact, fast
from vcfbert.retrieval.candidates import nearest
from vcfbert.retrieval.query import Query

SITES = 1_030
QUERIES = 64
SIZES = (5_000, 20_000, 50_000, 200_000)
POPULATIONS = ("YRI", "CEU", "CHB")
SEQUENCE = 300_000  # bp; 200,000 haplotypes have more than SITES common sites in it
MIN_FREQUENCY = 0.001
T = TypeVar("T")


@dataclass(frozen=True)
class Case:
    """One way to search.

    scope  (start, stop) of a segment; None is the whole window
    """

    scope: tuple[int, int] | None
    k: int

    @property
    def name(self) -> str:
        """`window` or `segment`."""
        return "window" if self.scope is None else "segment"


CASES = (Case(None, 32), Case((400, 629), 4))


def haplotypes(count: int, seed: int) -> NDArray[np.uint8]:
    """(count, SITES / 8) packed alleles of one window, in random order."""
    each = -(-count // (2 * len(POPULATIONS)))
    trees = msprime.sim_ancestry(
        samples=dict.fromkeys(POPULATIONS, each),
        demography=simulate.out_of_africa(),
        sequence_length=SEQUENCE,
        recombination_rate=1e-8,
        random_seed=seed,
    )
    mutated = msprime.sim_mutations(trees, rate=simulate.MUTATION, random_seed=seed)
    rows: list[NDArray[np.uint8]] = []
    for variant in mutated.variants():
        frequency = variant.genotypes.mean()
        if variant.num_alleles == 2 and MIN_FREQUENCY <= min(frequency, 1 - frequency):
            rows.append(variant.genotypes.astype(np.uint8))
        if len(rows) == SITES:
            break
    assert len(rows) == SITES, "too few sites: simulate a longer sequence"
    order = np.random.default_rng(seed).permutation(len(rows[0]))[:count]
    return tokens.pack(np.ascontiguousarray(np.stack(rows, axis=1)[order]))


def queries(alleles: NDArray[np.uint8], case: Case, seed: int) -> Iterator[Query]:
    """Queries under each mask and with each kind of weights."""
    for rate in (0.3, 0.9):
        for spread in (0.0, 0.5):
            rng = np.random.default_rng([seed, int(10 * rate), int(10 * spread)])
            weights = rng.lognormal(0.0, spread, SITES).astype(np.float32)
            if case.scope is not None:
                inside = weights[slice(*case.scope)].copy()
                weights *= np.float32(1e-3)  # as `retrieval.segments` lowers what lies outside
                weights[slice(*case.scope)] = inside
            yield Query(tokens.hide(alleles, rng.random(SITES) < rate), weights)


def timed(work: Callable[[], T], repeats: int = 2) -> tuple[T, float]:
    """The result and the shortest time in seconds."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - begun)
    return result, best


class BinaryIvf:
    """Candidates by Hamming distance among the lists nearest to the query."""

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self.seconds = -time.perf_counter()
        padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))
        lists = max(16, int(4 * np.sqrt(len(bits))))
        self._quantizer = faiss.IndexBinaryFlat(8 * padded.shape[1])
        self._index = faiss.IndexBinaryIVF(self._quantizer, 8 * padded.shape[1], lists)
        self._index.cp.niter = 4
        self._index.cp.min_points_per_centroid = 1
        self._index.train(padded[: 40 * lists])
        self._index.add(padded)
        self._index.nprobe = max(1, lists // 16)
        self.seconds += time.perf_counter()

    def candidates(self, query: Query, count: int) -> NDArray[np.int64]:
        """(B, count) rows; a hidden allele is searched as REF. 0 stands in for too few."""
        shown = tokens.pack((query.tokens == tokens.ALT).view(np.uint8))
        found = self._index.search(np.pad(shown, ((0, 0), (0, -shown.shape[1] % 8))), count)[1]
        return np.maximum(np.asarray(found, dtype=np.int64), 0)


def measure(bits: NDArray[np.uint8], alleles: NDArray[np.uint8], seed: int) -> Iterator[dict]:
    """Rows of the table for one panel."""
    true, build_exact = timed(lambda: exact.ExactIndex(exact.build(bits), SITES))
    quick, build_fast = timed(lambda: fast.FastIndex(fast.build(bits), SITES))
    ivf = BinaryIvf(bits)
    built = {"exact": build_exact, "fast": build_fast, "ivf": ivf.seconds}
    for case in CASES:
        seconds = dict.fromkeys(built, 0.0)
        recall = {"exact": 1.0, "fast": 0.0, "ivf": 0.0}
        same, runs = 0.0, 0
        for query in queries(alleles, case, seed):
            best, taken = timed(lambda: nearest(true, query, case.k))  # noqa: B023
            seconds["exact"] += taken
            found, taken = timed(lambda: nearest(quick, query, case.k))  # noqa: B023
            seconds["fast"] += taken
            search = true.search(query)
            count = 2 * case.k + 32
            begun = time.perf_counter()
            listed = np.sort(search.distances(ivf.candidates(query, count)), axis=1)
            seconds["ivf"] += time.perf_counter() - begun
            last = best.distances[:, -1:]
            recall["fast"] += float((found.distances <= last).mean())
            recall["ivf"] += float((listed[:, : case.k].astype(np.float32) <= last).mean())
            same += float((found.rows == best.rows).mean())
            runs += 1
        for kind, building in built.items():
            yield {
                "haplotypes": len(bits),
                "search": case.name,
                "k": case.k,
                "kind": kind,
                "recall": f"{recall[kind] / (1 if kind == 'exact' else runs):.4f}",
                "same": f"{same / runs:.4f}" if kind == "fast" else "",
                "queries_per_second": f"{QUERIES * runs / seconds[kind]:.0f}",
                "build_seconds": f"{building:.3f}",
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--csv", type=Path, help="where to write the table; else it is printed")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--seed", type=int, default=2)
    chosen = parser.parse_args()
    sizes = [int(size) for size in chosen.sizes.split(",")]
    faiss.omp_set_num_threads(1)
    panel = haplotypes(max(sizes) + QUERIES, chosen.seed)
    asked = tokens.unpack(panel[-QUERIES:], SITES)
    rows = [row for size in sizes for row in measure(panel[:size], asked, chosen.seed)]
    with chosen.csv.open("w", newline="") if chosen.csv else sys.stdout as stream:
        table = csv.DictWriter(stream, rows[0].keys(), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()

"""Small chunks with real copying in them, for the tests of `vcfbert.copying`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcfbert.copying.engine import lay_out
from vcfbert.copying.forward_backward import clusters
from vcfbert.copying.inputs import NUM_SETS
from vcfbert.copying.mosaic import Chunk

MISSING = 4
SINGLE = -1.0
NUM_GROUPS = 3
_FOUNDERS = 6


@dataclass(frozen=True)
class Case:
    """A chunk and the same alleles unpacked.

    alleles          (R, S)
    queries          (n, S) complete alleles of haplotypes that are no references
    group_frequency  (S, G)
    """

    chunk: Chunk
    alleles: NDArray[np.uint8]
    queries: NDArray[np.uint8]
    group_frequency: NDArray[np.float32]

    def typed_alleles(self, number: int, missing: tuple[int, ...] = ()) -> NDArray[np.uint8]:
        """(T,) of one query; `missing` lists typed sites where nothing was observed."""
        query = self.queries[number, self.chunk.typed].copy()
        query[list(missing)] = MISSING
        return query


def pack(alleles: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(R, S) to (R, ceil(S / 64)), the first site in the lowest bit."""
    missing = -alleles.shape[1] % 64
    padded = np.pad(alleles, ((0, 0), (0, missing)))
    packed = np.packbits(padded, axis=1, bitorder="little")
    return np.ascontiguousarray(packed).view(np.uint64)


def mosaics(
    generator: np.random.Generator, founders: NDArray[np.uint8], count: int, switch: float
) -> NDArray[np.uint8]:
    """(count, S) haplotypes that copy founders, switch now and then, and sometimes differ."""
    num_founders, num_sites = founders.shape
    switches = generator.random((count, num_sites)) < switch
    drawn = generator.integers(num_founders, size=(count, num_sites))
    latest = np.maximum.accumulate(np.where(switches, np.arange(num_sites), 0), axis=1)
    source = np.take_along_axis(drawn, latest, axis=1)
    copied = founders[source, np.arange(num_sites)]
    return copied ^ (generator.random(copied.shape) < 0.004).astype(np.uint8)


def make(
    seed: int,
    *,
    num_sites: int,
    typed: NDArray[np.int64] | int,
    num_references: int = 40,
    num_queries: int = 4,
    length_cm: float = 2.0,
    cluster_cm: float = SINGLE,
) -> Case:
    """A chunk; `typed` are the typed sites or how many to draw, each a cluster by itself unless
    `cluster_cm` says how long clusters may be.

    About one site in ten shares its position with the one before.
    """
    generator = np.random.default_rng(seed)
    if isinstance(typed, int):
        typed = np.sort(generator.choice(num_sites, typed, replace=False))
    frequency = generator.beta(0.4, 1.2, num_sites)
    founders = (generator.random((_FOUNDERS, num_sites)) < frequency).astype(np.uint8)
    samples = mosaics(generator, founders, num_references + num_queries, 6 / num_sites)
    alleles, queries = samples[:num_references], samples[num_references:]
    steps = generator.exponential(1.0, num_sites) * (generator.random(num_sites) > 0.1)
    cm = np.cumsum(steps)
    cm = (cm - cm[0]) * length_cm / max(cm[-1] - cm[0], 1e-9)
    group = generator.integers(NUM_GROUPS, size=num_references)
    share = np.clip(alleles.mean(axis=0), 1e-3, 1 - 1e-3)
    cm = cm.astype(np.float32)
    chunk = lay_out(
        bits=pack(alleles),
        typed_bits=pack(alleles[:, typed]),
        typed=np.asarray(typed, np.int64),
        stops=clusters(cm[typed], cluster_cm),
        cm=cm,
        frequency=np.log(share / (1 - share)).astype(np.float32),
        minor=np.log(np.minimum(share, 1 - share)).astype(np.float32),
        panel=generator.normal(0, 2, (2, num_sites)).astype(np.float32),
        group=group.astype(np.int64),
        rates=np.array([3.0, 0.7, 12.0], np.float32)[:NUM_SETS],
        errors=np.array([1e-3, 1e-2, 1e-4], np.float32)[:NUM_SETS],
    )
    by_group = generator.random((num_sites, NUM_GROUPS)).astype(np.float32)
    return Case(chunk, alleles, queries, by_group)


def laid_out_anew(chunk: Chunk, **changes: Any) -> Chunk:
    """The chunk with other fields, and all that follows from them."""
    follows = ("untyped", "points", "around")
    kept = {name: value for name, value in chunk._asdict().items() if name not in follows}
    return lay_out(**(kept | changes))


def some_rows(seed: int, case: Case, count: int) -> NDArray[np.int64]:
    """(count,) candidates, rising."""
    generator = np.random.default_rng(seed)
    return np.sort(generator.choice(len(case.alleles), count, replace=False)).astype(np.int64)

"""Compare exact retrieval over allele bits with FAISS IndexFlatL2 over masked embeddings.

    python benchmarks/retrieval.py WORKSPACE [--windows 3] [--queries 64] [--k 32]

WORKSPACE contains a prepared panel. Two parts, on its windows:

agreement  D = 64, three masks, each with another random encoder (every token at every site has its
           own vector, and sites differ in scale). One exact index serves all of them; the dense
           index is rebuilt for each
cost       D = 256, one window, in one process; the dense index takes 4 R L D bytes of memory, and
           twice that while it is built

Queries are haplotypes of test and validation samples, which are not in the indexes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites, tokens
from vcfbert.retrieval import exact, similarity
from vcfbert.retrieval.candidates import Hits, nearest
from vcfbert.retrieval.index import write_windows
from vcfbert.retrieval.query import Query
from vcfbert.storage.zarr.panel import PanelReader, open_panel

RATES = (0.3, 0.5, 0.8)
T = TypeVar("T")


@dataclass
class Agreement:
    """Comparison of the two neighbour sets, over all queries."""

    queries: int = 0
    identical: int = 0
    tied: int = 0
    different: int = 0
    pairs: int = 0
    zero_pairs: int = 0
    error_of_exact: float = 0.0
    error_of_flat: float = 0.0
    noise_of_flat: float = 0.0
    agreeing: int = 0


def random_codebook(rng: np.random.Generator, length: int, width: int) -> NDArray[np.float32]:
    """(V, L, D) with a different scale at each site, so that their weights differ."""
    codebook = rng.standard_normal((tokens.VOCABULARY_SIZE, length, width), dtype=np.float32)
    scale = rng.lognormal(0.0, 0.5, (length, 1)).astype(np.float32)
    return codebook * scale / np.float32(width**0.5)


def embed(codebook: NDArray[np.float32], window_tokens: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, L D) flattened embeddings, gathered in blocks."""
    site = np.arange(codebook.shape[1])
    out = np.empty((len(window_tokens), codebook[0].size), dtype=np.float32)
    for first in range(0, len(out), 64):
        block = codebook[window_tokens[first : first + 64], site]
        out[first : first + 64] = block.reshape(len(block), -1)
    return out


def timed(work: Callable[[], T], repeats: int = 1) -> tuple[T, float]:
    """The result and the shortest time in seconds."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - begun)
    return result, best


def compare(panel: PanelReader, window: int, num_queries: int, k: int, total: Agreement) -> None:
    """Compare three masks and encoders with one exact index of a window, D = 64."""
    references, queries = haplotypes(panel, num_queries)
    index = exact.ExactIndex(exact.build(panel.packed(window)[references]), panel.length)
    for number, rate in enumerate(RATES):
        rng = np.random.default_rng([window, number])
        is_masked = rng.random(panel.length) < rate
        codebook = random_codebook(rng, panel.length, 64)
        hidden = tokens.hide(panel.tokens(window, queries), is_masked)
        query = Query(hidden, similarity.site_weights(codebook))
        hits = nearest(index, query, k)
        dense = faiss.IndexFlatL2(codebook[0].size)
        embedded = embed(codebook, tokens.hide(panel.tokens(window, references), is_masked))
        embedded_queries = embed(codebook, hidden)
        dense.add(embedded)
        distances, rows = dense.search(embedded_queries, k)
        del dense
        measure(total, embedded, embedded_queries, hits, distances)
        del embedded
        true_distances = index.search(query).distances(rows).astype(np.float32)
        for ours, theirs, true in zip(hits.rows, rows, true_distances, strict=True):
            total.queries += 1
            line = total.queries % num_queries - 1
            if set(ours) == set(theirs):
                total.identical += 1
            elif np.array_equal(np.sort(true), hits.distances[line]):
                total.tied += 1
            else:
                total.different += 1


def measure(
    total: Agreement,
    embedded: NDArray[np.float32],
    embedded_queries: NDArray[np.float32],
    hits: Hits,
    flat: NDArray[np.float32],
) -> None:
    """Errors of both distances, measured against differences in float64.

    Pairs with a true distance of 0 have no relative error and are counted separately.
    """
    truth = np.array(
        [
            [np.square(embedded[row] - query, dtype=np.float64).sum() for row in rows]
            for rows, query in zip(hits.rows, embedded_queries, strict=True)
        ]
    )
    is_zero = truth == 0
    total.pairs += truth.size
    total.zero_pairs += int(is_zero.sum())
    assert (hits.distances[is_zero] == 0).all()
    relative = [
        float((np.abs(found - truth)[~is_zero] / truth[~is_zero]).max(initial=0.0))
        for found in (hits.distances, flat)
    ]
    is_close = np.abs(flat - hits.distances) <= 1e-3 * hits.distances
    total.agreeing += int((is_close & ~is_zero).sum())
    norms = np.square(embedded_queries, dtype=np.float64).sum(axis=1, keepdims=True)
    total.error_of_exact = max(total.error_of_exact, relative[0])
    total.error_of_flat = max(total.error_of_flat, relative[1])
    total.noise_of_flat = max(total.noise_of_flat, float((np.abs(flat - truth) / norms).max()))


def haplotypes(panel: PanelReader, num_queries: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Haplotypes of references, and of queries that are not references."""
    queries = panel.samples.haplotypes(sites.TEST, sites.VALIDATION)
    chosen = np.random.default_rng(0).choice(queries, min(num_queries, len(queries)), replace=False)
    return panel.samples.haplotypes(sites.TRAIN), np.sort(chosen)


def cost(panel: PanelReader, window: int, num_queries: int, k: int) -> None:
    """Build time, search time and bytes of each kind of index, D = 256, one window."""
    references, queries = haplotypes(panel, num_queries)
    bits = panel.packed(window)[references]
    rng = np.random.default_rng(0)
    is_masked = rng.random(panel.length) < 0.5
    codebook = random_codebook(rng, panel.length, 256)
    hidden = tokens.hide(panel.tokens(window, queries), is_masked)
    rows: list[tuple[str, float, float, int]] = []

    built, build_seconds = timed(lambda: exact.build(bits), 5)
    with tempfile.TemporaryDirectory() as name:
        entry = write_windows(Path(name), [built])[0]
    index = exact.ExactIndex(built, panel.length)
    weights, weigh_seconds = timed(lambda: similarity.site_weights(codebook), 5)
    query = Query(hidden, weights)
    vectors = similarity.search_vectors(hidden, weights)
    _, raw = timed(lambda: built.search(vectors, k), 10)
    rows.append(("IndexPQ, FAISS alone", build_seconds, raw, index.reference_bits.nbytes))
    _, seconds = timed(lambda: nearest(index, query, k), 10)
    rows.append(("exact, with re-ranking", build_seconds, seconds, entry.bytes))

    flat = faiss.IndexFlatIP(vectors.shape[1])
    unpacked = tokens.unpack(bits, vectors.shape[1]).astype(np.float32)
    _, build_seconds = timed(lambda: flat.add(unpacked))
    _, seconds = timed(lambda: flat.search(vectors, k), 10)
    rows.append(("IndexFlatIP over bits", build_seconds, seconds, flat.ntotal * flat.d * 4))

    complete = panel.tokens(window, references)
    embedded, encode_seconds = timed(lambda: embed(codebook, tokens.hide(complete, is_masked)))
    dense = faiss.IndexFlatL2(embedded.shape[1])
    _, build_seconds = timed(lambda: dense.add(embedded))
    del embedded
    embedded_queries = embed(codebook, hidden)
    _, seconds = timed(lambda: dense.search(embedded_queries, k), 2)
    rows.append(
        ("dense IndexFlatL2", encode_seconds + build_seconds, seconds, dense.d * dense.ntotal * 4)
    )

    print(
        f"\ncost: D = 256, window {window}, R = {len(references)}, {len(queries)} queries, K = {k}"
    )
    print(f"{'':<24}{'build s':>10}{'search s':>10}{'bytes':>16}")
    for label, build, search, size in rows:
        print(f"{label:<24}{build:>10.5f}{search:>10.4f}{size:>16,}")
    print(f"codebook {codebook.nbytes:,} bytes; site weights from it {weigh_seconds:.4f} s")
    print(f"dense build: encode {encode_seconds:.2f} s, add {build_seconds:.2f} s")
    ours, theirs = rows[1], rows[3]
    print(
        f"dense / exact: build {theirs[1] / ours[1]:,.0f}, search {theirs[2] / ours[2]:,.0f}, "
        f"bytes {theirs[3] / ours[3]:,.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--windows", type=int, default=3, help="windows to compare")
    parser.add_argument("--queries", type=int, default=64)
    parser.add_argument("--k", type=int, default=32)
    chosen = parser.parse_args()
    with open_panel(chosen.workspace / "panel.zarr") as panel:
        total = Agreement()
        # For many queries IndexFlatL2 computes |q|^2 + |r|^2 - 2 <q, r>, whose rounding, up to 2e-6
        # of the norms, dominates small distances (largest relative error seen: 2e-2). For batches
        # below this threshold it sums squared differences, so the threshold is raised.
        by_products = faiss.cvar.distance_compute_blas_threshold
        faiss.cvar.distance_compute_blas_threshold = 1 << 30
        windows = np.linspace(0, len(panel.windows) - 1, chosen.windows).astype(int).tolist()
        for window in windows:
            compare(panel, window, chosen.queries, chosen.k, total)
        faiss.cvar.distance_compute_blas_threshold = by_products
        print(f"agreement: D = 64, K = {chosen.k}, windows {windows}, masks of rate {RATES}")
        print(
            f"queries {total.queries}: same neighbours {total.identical}, "
            f"same but for exact ties {total.tied}, different {total.different}"
        )
        print(
            f"distances above 0 ({total.pairs - total.zero_pairs} pairs) against float64 "
            f"differences, largest relative error: exact {total.error_of_exact:.1e}, "
            f"IndexFlatL2 {total.error_of_flat:.1e}"
        )
        print(
            f"distances above 0 that agree to 1e-3: {total.agreeing} of "
            f"{total.pairs - total.zero_pairs}"
        )
        print(
            f"distances of 0 ({total.zero_pairs} pairs): exact gives 0; IndexFlatL2's noise is up "
            f"to {total.noise_of_flat:.1e} of the query's squared norm, over all pairs"
        )
        cost(panel, windows[len(windows) // 2], chosen.queries, chosen.k)


if __name__ == "__main__":
    main()

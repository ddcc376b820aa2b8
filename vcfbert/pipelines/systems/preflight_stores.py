"""Pre-flight checks of what is on the disk: panel, encoding, index.

R reference haplotypes, B query haplotypes, K neighbours, L sites in a window, D embedding width.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import relatedness, tokens
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION
from vcfbert.errors import StoreError
from vcfbert.pipelines.systems import store_checks
from vcfbert.pipelines.systems.preflight_inputs import Bench
from vcfbert.retrieval import similarity
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr.embeddings import EmbeddingsReader
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems import encoding
from vcfbert.training.systems.batches import Batch
from vcfbert.training.systems.schedule import Work

_TOLERANCE = 1e-4  # relative: float32 sums in another order
_ROWS = 4_096  # references that are compared with a query at a time


def dataset(bench: Bench) -> str:
    """Shapes of the panel, its windows, its samples, and alleles that add up to the site table."""
    panel = bench.panel
    wrong = [c for c in store_checks.of_panel(bench.settings, bench.workspace) if not c.holds]
    if wrong:
        raise StoreError(wrong[0].sentence())
    sizes = {code: len(panel.samples.in_splits(code)) for code in (TRAIN, VALIDATION, TEST)}
    for code, name in ((TRAIN, "train"), (VALIDATION, "validation")):
        if not sizes[code]:
            raise StoreError(
                f"{panel.path} has no {name} samples. Prepare it again with a sample table that "
                "names some, or with --validation-fraction above 0."
            )
    counted = sum(_check_counts(panel, window) for window in bench.windows)
    related = _check_relatives(panel)
    return (
        f"{len(panel.samples):,} samples ({sizes[TRAIN]:,} train, "
        f"{sizes[VALIDATION]:,} validation, "
        f"{sizes[TEST]:,} test), {len(panel.sites):,} sites in {len(panel.windows):,} windows of "
        f"{panel.length:,}; ALT counts of {counted:,} sites in {len(bench.windows)} windows are "
        f"those of the site table; {related}"
    )


def _check_relatives(panel: PanelReader) -> str:
    """Raise StoreError where a train and a held-out sample are the same; says what else is."""

    def read(chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        return haplotypes.read_alleles(panel, chosen)

    found = relatedness.measure(panel.sites, panel.samples, read, held_out_only=True)
    same = np.flatnonzero(found.pairs.is_same)
    if len(same):
        raise StoreError(
            f"{panel.path}: a train and a held-out sample have the same genotypes in {len(same):,} "
            f"pairs: {found.named(same)}, so what is scored was trained on. Prepare it again with "
            "--relatives and a file of these pairs, which prepare writes as panel.relatives.tsv."
        )
    if not found.can_tell_duplicates:
        return (
            f"{found.cm:.2f} cM and {found.sites:,} common sites are too few to tell whether train "
            "and held-out samples are the same"
        )
    close = (
        f"{len(found.pairs):,} pairs of them are close relatives"
        if found.can_tell_relatives
        else f"{found.cm:.1f} cM are too few to tell relatives"
    )
    return f"no train sample is a held-out one by {found.sites:,} common sites; {close}"


def _check_counts(panel: PanelReader, window: int) -> int:
    """Decode a window and compare with the site table; returns the sites compared."""
    where = panel.windows.sites(window)
    num_sites = panel.windows.num_sites(window)
    for code, name in ((TRAIN, "train"), (VALIDATION, "validation"), (TEST, "test")):
        decoded = panel.tokens(window, panel.samples.haplotypes(code))
        counts = (decoded[:, :num_sites] == tokens.ALT).sum(axis=0)
        written = panel.sites.alt_count[where, code]
        if (counts != written).any():
            site = int(np.argmax(counts != written))
            raise StoreError(
                f"{panel.path}: at site {where.start + site} of window {window} the {name} samples "
                f"carry {int(counts[site])} ALT alleles, but {int(written[site])} by the site "
                "table. Make it again with: vcfbert prepare PANEL --force"
            )
    return num_sites


def pre_encoding(bench: Bench) -> str:
    """The encoding that training reads is that of its encoder, for this panel and these rows."""
    if not bench.settings.reads_embeddings:
        return "this system reads no embeddings"
    found, encoder = bench.embeddings, bench.state.model.encoder
    own = encoding.encoder_fingerprint(encoder)
    if not isinstance(found, EmbeddingsReader):
        return f"none stored that this run could read: it encodes by itself, encoder {own[:12]}"
    _check_origin(bench, found, own)
    largest = max(_distance_in(bench, found, window) for window in bench.windows)
    if not np.isfinite(largest) or (bench.is_current and largest > _TOLERANCE):
        raise StoreError(
            f"{found.path} differs from what its encoder makes of the same windows by "
            f"{largest:.1e} of a norm. {_again(bench)}"
        )
    since = "" if largest <= _TOLERANCE else ": the encoder has learned since the last refresh"
    return (
        f"{found.path.name}, layout {found.layout}, encoder {found.encoder_fingerprint[:12]}, "
        f"{len(found.reference_haplotypes):,} references; {len(bench.windows)} windows encoded "
        f"again differ by {largest:.1e} of a norm{since}"
    )


def _check_origin(bench: Bench, found: EmbeddingsReader, own: str) -> None:
    """Encoder and rows."""
    if bench.is_current and found.encoder_fingerprint != own:
        raise StoreError(
            f"{found.path} was made by the encoder {found.encoder_fingerprint[:12]}, but training "
            f"begins with {own[:12]}. {_again(bench)}"
        )
    train = bench.panel.samples.haplotypes(TRAIN)
    strangers = np.setdiff1d(found.reference_haplotypes, train)
    if len(strangers):
        raise StoreError(
            f"{found.path} holds {len(strangers)} haplotypes of samples who are not trained on. "
            f"{_again(bench)}"
        )


def _distance_in(bench: Bench, found: EmbeddingsReader, window: int) -> float:
    """Largest distance of stored and new embeddings of a window, in parts of their norm."""
    new = encoding.window_codebook(bench.state.model.encoder, bench.panel, window)
    rows = np.linspace(0, len(found.reference_haplotypes) - 1, 2 * len(bench.samples)).astype(int)
    complete = bench.panel.tokens(window, found.reference_haplotypes[rows])
    pairs = [
        (found.codebook(window), new),
        (found.complete(window, rows, complete), new[complete, np.arange(found.length)]),
    ]
    scale = float(np.linalg.norm(new, axis=-1).mean())
    return max(float(np.linalg.norm(one - other, axis=-1).max()) / scale for one, other in pairs)


def _again(bench: Bench) -> str:
    flag = store_checks.settings_flag(bench.settings)
    return f"Encode again with: vcfbert encode-refs {flag} --force"


def retrieval(bench: Bench) -> str:
    """The index answers with the neighbours that a search through all references finds."""
    if not bench.retrieves:
        return "this system retrieves nothing"
    panel, index = bench.panel, bench.index
    if bench.settings.reads_embeddings and isinstance(index, IndexReader):
        if isinstance(bench.embeddings, EmbeddingsReader):
            index.require_parent("embeddings", bench.embeddings.fingerprint)
    held_out = index.rows_of(panel.samples.haplotypes(VALIDATION, TEST))
    if (held_out >= 0).any():
        raise StoreError(
            f"The index holds {int((held_out >= 0).sum())} haplotypes of validation and test "
            "samples. Make it again with: vcfbert build-index --force"
        )
    whole = dataclasses.replace(bench.settings.retrieval, num_segments=1)
    maker = bench.maker(dataclasses.replace(bench.settings, retrieval=whole))
    seconds, largest = 0.0, 0.0
    for window in bench.windows:
        begun = time.perf_counter()
        masks = dataclasses.replace(bench.training_masks, references=None)
        batch = masks.batch(maker, Work(window, bench.samples))
        seconds += time.perf_counter() - begun
        largest = max(largest, _check_neighbours(bench, batch))
    queries = 2 * len(bench.samples) * len(bench.windows)
    return (
        f"{index.kind}, {len(index.reference_haplotypes):,} references, none held out; "
        f"{batch.neighbours.shape[1]} neighbours of {queries} queries are those of a search "
        f"through all, distances within {largest:.1e}; {1000 * seconds / queries:.2f} ms a query"
    )


def _check_neighbours(bench: Bench, batch: Batch) -> float:
    """Compare a batch's neighbours with an exhaustive search; largest relative deviation."""
    every = _all_distances(bench, batch)  # (B, R)
    rows = bench.index.rows_of(batch.neighbours.ravel()).reshape(batch.neighbours.shape)
    true = np.take_along_axis(every, rows, axis=1)
    ordered: NDArray[np.float64] = np.sort(every, axis=1)
    nearest = ordered[:, : batch.neighbours.shape[1]]
    scale = np.maximum(nearest, every[np.isfinite(every)].mean())
    scale = np.where(scale > 0, scale, 1.0)  # all are at 0 where nothing is visible
    gaps = [np.abs(side - nearest) / scale for side in (true, batch.distances)]
    largest = float(max(gap.max() for gap in gaps))
    if not largest <= _TOLERANCE:
        raise StoreError(
            f"In window {batch.window} the index found neighbours at {true[0, 0]:.4g}, reported as "
            f"{batch.distances[0, 0]:.4g}, where the nearest reference is at {nearest[0, 0]:.4g}: "
            "it does not hold this panel's haplotypes in its rows. Make it again with: vcfbert "
            "build-index --force"
        )
    return largest


def _all_distances(bench: Bench, batch: Batch) -> NDArray[np.float64]:
    """(B, R) to every reference, site by site; inf for a query's own sample and relatives."""
    if bench.settings.retrieval.space == "embedding":
        weights = similarity.site_weights(bench.embeddings.codebook(batch.window))
    else:
        weights = similarity.token_weights(bench.panel.length)
    references = bench.index.reference_haplotypes
    out = np.empty((len(batch.query_tokens), len(references)))
    is_visible = batch.query_tokens <= tokens.ALT
    for first in range(0, len(references), _ROWS):
        block = slice(first, first + _ROWS)
        carried = bench.panel.tokens(batch.window, references[block])
        for row, query in enumerate(batch.query_tokens):
            seen = is_visible[row]
            out[row, block] = (carried[:, seen] != query[seen]) @ weights[seen].astype(np.float64)
    if bench.settings.retrieval.exclude_same_sample:
        own = np.repeat(batch.samples, 2)
        out[np.equal.outer(own, references // 2)] = np.inf
        for row, sample in enumerate(own):
            related = bench.panel.samples.relatives_of(np.array([sample]))
            out[row, np.isin(references // 2, related)] = np.inf
    return out

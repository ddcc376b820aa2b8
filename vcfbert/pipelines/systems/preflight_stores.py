"""Pre-flight checks of the stores: panel, embeddings, index.

R reference haplotypes, B query haplotypes, K neighbours, L sites in a window, D embedding width.
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
from numpy.typing import NDArray

from vcfbert import plurals
from vcfbert.config import presets
from vcfbert.domain import relatedness, tokens
from vcfbert.domain.sites import TEST, TRAIN, VALIDATION
from vcfbert.errors import StoreError
from vcfbert.pipelines.systems import store_checks
from vcfbert.pipelines.systems.preflight_inputs import PreflightInputs
from vcfbert.retrieval import similarity
from vcfbert.retrieval.index import IndexReader
from vcfbert.storage.zarr import haplotypes
from vcfbert.storage.zarr import panel as panel_store
from vcfbert.storage.zarr.embeddings import HALF_ERROR, EmbeddingsReader
from vcfbert.storage.zarr.panel import PanelReader
from vcfbert.training.systems import encoding
from vcfbert.training.systems.batches import Batch
from vcfbert.training.systems.schedule import Work

_TOLERANCE = 1e-4  # relative, of float32 sums in another order
_HALF = 4 * HALF_ERROR  # relative to the mean norm, which some vectors exceed
_MOST_MISSED = 0.1  # of the neighbours of a fast index; more than it misses on any panel measured
_ROWS = 4_096  # references compared with a query at a time


def dataset(given: PreflightInputs) -> str:
    """Shapes, windows and samples of the panel are right, and ALT counts match its site table."""
    panel = given.panel
    wrong = [check for check in store_checks.of_panel(panel) if not check.holds]
    if wrong:
        raise StoreError(wrong[0].sentence())
    sizes = {code: len(panel.samples.in_splits(code)) for code in (TRAIN, VALIDATION, TEST)}
    for code, name in ((TRAIN, "train"), (VALIDATION, "validation")):
        if not sizes[code]:
            raise StoreError(
                f"{panel.path} has no {name} samples. Prepare it again with a sample table that "
                "names some, or with --validation-fraction above 0."
            )
    counted = sum(_check_counts(panel, window) for window in given.windows)
    related = _check_relatives(panel)
    return (
        f"{plurals.of(len(panel.samples), 'sample')} ({sizes[TRAIN]:,} train, "
        f"{sizes[VALIDATION]:,} validation, {sizes[TEST]:,} test), "
        f"{plurals.of(len(panel.sites), 'site')} in {plurals.of(len(panel.windows), 'window')} of "
        f"{panel.length:,}; ALT counts of {plurals.of(counted, 'site')} in "
        f"{plurals.of(len(given.windows), 'window')} match the site table; {related}"
    )


def _check_relatives(panel: PanelReader) -> str:
    """Raise StoreError if a held-out sample is a duplicate of a train sample; report relatives."""

    def read(chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        return haplotypes.read_alleles(panel, chosen)

    found = relatedness.measure(panel.sites, panel.samples, read, held_out_only=True)
    same = np.flatnonzero(found.pairs.is_same)
    if len(same):
        raise StoreError(
            f"{panel.path}: "
            + plurals.of(
                len(same),
                "held-out sample is a duplicate of a train sample: ",
                "held-out samples are duplicates of train samples: ",
            )
            + f"{found.named(same)}. Scores would be of genotypes used in training. Prepare it "
            "again with --relatives and a file of these pairs, which prepare writes as "
            "panel.relatives.tsv."
        )
    if not found.can_tell_duplicates:
        return (
            f"{found.cm:.2f} cM and {plurals.of(found.sites, 'common site')} are too few to find "
            "duplicates among train and held-out samples"
        )
    close = (
        f"{plurals.of(len(found.pairs), 'pair is close relatives', 'pairs are close relatives')}"
        if found.can_tell_relatives
        else f"{found.cm:.1f} cM are too few to find relatives"
    )
    return (
        f"no held-out sample is a duplicate of a train sample by {found.sites:,} common sites; "
        f"{close}"
    )


def _check_counts(panel: PanelReader, window: int) -> int:
    """Decode a window and compare it with the site table; returns the number of sites compared."""
    fault = panel_store.allele_fault(panel, window)
    if fault is not None:
        raise StoreError(f"{panel.path}: {fault}. Rebuild it with: vcfbert prepare PANEL --force")
    return panel.windows.num_sites(window)


def pre_encoding(given: PreflightInputs) -> str:
    """The embeddings that training reads are of its encoder, of this panel, of these rows."""
    if not given.settings.reads_embeddings:
        return "this system reads no embeddings"
    found, encoder = given.embeddings, given.state.model.encoder
    own = encoding.encoder_fingerprint(encoder)
    if not isinstance(found, EmbeddingsReader):
        return f"no stored embeddings fit this run, so it encodes for itself, encoder {own[:12]}"
    _check_origin(given, found, own)
    largest = max(_distance_in(given, found, window) for window in given.windows)
    allowed = _TOLERANCE + (_HALF if found.dtype == "float16" else 0)
    if not np.isfinite(largest) or (given.is_current and largest > allowed):
        raise StoreError(
            f"{found.path} differs from a new encoding of the same windows by {largest:.1e} of a "
            f"norm. {_again(given)}"
        )
    since = "" if largest <= allowed else ": the encoder has changed since the last refresh"
    return (
        f"{found.path.name}, layout {found.layout}, encoder {found.encoder_fingerprint[:12]}, "
        f"{plurals.of(len(found.reference_haplotypes), 'reference')}; "
        f"{plurals.of(len(given.windows), 'window')} encoded again differ by {largest:.1e} of a "
        f"norm{since}"
    )


def _check_origin(given: PreflightInputs, found: EmbeddingsReader, own: str) -> None:
    """Raise StoreError if the embeddings are of another encoder or of held-out samples."""
    if given.is_current and found.encoder_fingerprint != own:
        raise StoreError(
            f"{found.path} was made by the encoder {found.encoder_fingerprint[:12]}, but training "
            f"starts with {own[:12]}. {_again(given)}"
        )
    train = given.panel.samples.haplotypes(TRAIN)
    strangers = np.setdiff1d(found.reference_haplotypes, train)
    if len(strangers):
        raise StoreError(
            f"{found.path} has {plurals.of(len(strangers), 'haplotype')} not of train samples. "
            f"{_again(given)}"
        )


def _distance_in(given: PreflightInputs, found: EmbeddingsReader, window: int) -> float:
    """Largest distance of stored and new embeddings of a window, relative to their norm."""
    new = encoding.window_codebook(given.state.model.encoder, given.panel, window)
    rows = np.linspace(0, len(found.reference_haplotypes) - 1, 2 * len(given.samples)).astype(int)
    complete = given.panel.tokens(window, found.reference_haplotypes[rows])
    pairs = [
        (found.codebook(window), new),
        (found.complete(window, rows, complete), new[complete, np.arange(found.length)]),
    ]
    scale = float(np.linalg.norm(new, axis=-1).mean())
    return max(float(np.linalg.norm(one - other, axis=-1).max()) / scale for one, other in pairs)


def _again(given: PreflightInputs) -> str:
    flag = presets.flag(given.settings.preset)
    return f"Encode again with: vcfbert encode-refs {flag} --force"


def retrieval(given: PreflightInputs) -> str:
    """The index finds the neighbours of an exhaustive search: all of them, or a fast one most."""
    if not given.retrieves:
        return "this system retrieves nothing"
    panel, index = given.panel, given.index
    if given.settings.reads_embeddings and isinstance(index, IndexReader):
        if isinstance(given.embeddings, EmbeddingsReader):
            index.require_parent("embeddings", given.embeddings.fingerprint)
    held_out = index.rows_of(panel.samples.haplotypes(VALIDATION, TEST))
    if (held_out >= 0).any():
        raise StoreError(
            f"The index has {plurals.of(int((held_out >= 0).sum()), 'haplotype')} of validation "
            "and test samples. Rebuild it with: vcfbert build-index --force"
        )
    whole = dataclasses.replace(given.settings.retrieval, num_segments=1)
    maker = given.maker(whole)
    seconds, largest, missed = 0.0, 0.0, 0.0
    for window in given.windows:
        begun = time.perf_counter()
        masks = dataclasses.replace(given.training_masks, references=None)
        batch = masks.batch(maker, Work(window, given.samples))
        seconds += time.perf_counter() - begun
        error, share = _check_neighbours(given, batch)
        largest, missed = max(largest, error), missed + share / len(given.windows)
    queries = 2 * len(given.samples) * len(given.windows)
    except_for = f" but for {missed:.2%}" if missed else ""
    return (
        f"{index.kind}, {plurals.of(len(index.reference_haplotypes), 'reference')}, none held out; "
        f"{batch.neighbours.shape[1]} neighbours of {queries} queries are those of an exhaustive "
        f"search{except_for}, distances within {largest:.1e}; {1000 * seconds / queries:.2f} ms a "
        "query"
    )


def _check_neighbours(given: PreflightInputs, batch: Batch) -> tuple[float, float]:
    """Compare neighbours with an exhaustive search.

    returns  the largest relative error of a distance; the share of neighbours that are farther than
             the K nearest, which is above 0 for a fast index only
    """
    every = _all_distances(given, batch)  # (B, R)
    rows = given.index.rows_of(batch.neighbours.ravel()).reshape(batch.neighbours.shape)
    true = np.take_along_axis(every, rows, axis=1)
    ordered: NDArray[np.float64] = np.sort(every, axis=1)
    nearest = ordered[:, : batch.neighbours.shape[1]]
    scale = np.maximum(nearest, every[np.isfinite(every)].mean())
    scale = np.where(scale > 0, scale, 1.0)  # all distances are 0 if no site is visible
    reported = float((np.abs(batch.distances - true) / scale).max())
    beyond = (true - nearest[:, -1:]) / scale[:, -1:] > _TOLERANCE
    missed = float(beyond.mean())
    is_fast = given.index.kind == "fast"
    largest = reported if is_fast else max(reported, float((np.abs(true - nearest) / scale).max()))
    if is_fast and missed > _MOST_MISSED:
        raise StoreError(
            f"In window {batch.window} the fast index misses {missed:.0%} of the nearest "
            "references. Use: vcfbert build-index --kind exact --force"
        )
    if not largest <= _TOLERANCE:
        raise StoreError(
            f"In window {batch.window} the index found a neighbour at {true[0, 0]:.4g}, reported "
            f"as {batch.distances[0, 0]:.4g}, but the nearest reference is at "
            f"{nearest[0, 0]:.4g}: its rows are not the haplotypes of this panel. Rebuild it with: "
            "vcfbert build-index --force"
        )
    return largest, missed


def _all_distances(given: PreflightInputs, batch: Batch) -> NDArray[np.float64]:
    """(B, R) distances to all references; infinite for a query's own sample and relatives."""
    if given.settings.retrieval.space == "embedding":
        weights = similarity.site_weights(given.embeddings.codebook(batch.window))
    else:
        weights = similarity.token_weights(given.panel.length)
    references = given.index.reference_haplotypes
    out = np.empty((len(batch.query_tokens), len(references)))
    is_visible = batch.query_tokens <= tokens.ALT
    for first in range(0, len(references), _ROWS):
        block = slice(first, first + _ROWS)
        carried = given.panel.tokens(batch.window, references[block])
        for row, query in enumerate(batch.query_tokens):
            seen = is_visible[row]
            out[row, block] = (carried[:, seen] != query[seen]) @ weights[seen].astype(np.float64)
    if given.settings.retrieval.exclude_same_sample:
        own = np.repeat(batch.samples, 2)
        out[np.equal.outer(own, references // 2)] = np.inf
        for row, sample in enumerate(own):
            related = given.panel.samples.relatives_of(np.array([sample]))
            out[row, np.isin(references // 2, related)] = np.inf
    return out

"""Pre-flight checks of what training makes of the stores: batches, a step, memory, a refresh.

B query haplotypes, K neighbours, L sites in a window.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import time

import numpy as np
from numpy.typing import NDArray

from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.domain.sites import TRAIN
from vcfbert.errors import ConfigError, DeviceError, StoreError
from vcfbert.model.embedding import Encoder
from vcfbert.pipelines.systems.preflight_inputs import Bench
from vcfbert.storage.zarr import embeddings, stores
from vcfbert.training import machine
from vcfbert.training.systems import alignment as feature_space
from vcfbert.training.systems import encoding, trial_step
from vcfbert.training.systems import leakage as hidden_alleles
from vcfbert.training.systems import memory as step_memory
from vcfbert.training.systems.batches import Batch
from vcfbert.training.systems.schedule import Work

_TOLERANCE = 1e-3  # relative, of distances that were summed in another order
_NORMS_APART = 4.0  # times; one encoder and one fusion give both sides their size
_HEAP_GAPS = 1.9  # times; what glibc's heap holds between tensors that come and go
_NUDGE = 1.01  # times; a change of the weights that a refresh must see


def collation(bench: Bench) -> str:
    """Batches hold what the panel holds, hide what the mask hides, and nobody finds himself."""
    begun = time.perf_counter()
    batches = bench.training_batches
    seconds = (time.perf_counter() - begun) / len(batches)
    for batch in batches:
        _check_tokens(bench, batch)
        _check_company(bench, batch)
    _check_hidden(bench)
    hidden = sum(int(batch.is_hidden.sum()) for batch in batches)
    sites = sum(int((batch.labels != tokens.PAD).sum()) for batch in batches)
    rows, length = batches[0].labels.shape
    return (
        f"{len(batches)} batches of {rows // 2} samples: {rows} x {length:,} tokens, "
        f"{batches[0].neighbours.shape[1]} neighbours each, {hidden / sites:.1%} hidden, nobody "
        f"beside himself, nothing read of hidden alleles; {1000 * seconds:.0f} ms a batch"
    )


def _check_tokens(bench: Bench, batch: Batch) -> None:
    """Labels and neighbours are the panel's; the query shows them but where it is masked."""
    own = site_tables.haplotypes_of(batch.samples)
    is_masked = batch.query_tokens == tokens.MASK
    flat = bench.panel.tokens(batch.window, batch.neighbours.ravel())
    faults = {
        "labels are not the panel's": (batch.labels != bench.panel.tokens(batch.window, own)).any(),
        "visible tokens are not the labels": (
            (batch.query_tokens != batch.labels) & ~is_masked
        ).any(),
        "scored sites are not the masked ones": (batch.is_hidden != is_masked).any(),
        "nothing is hidden": not is_masked.any(),
        # A list may leave a window without a typed site, which training says by itself.
        "nothing is visible": bench.settings.masks.policy != "array"
        and not (batch.query_tokens <= tokens.ALT).any(),
        "neighbours' tokens are not the panel's": (
            batch.neighbour_tokens.reshape(flat.shape) != flat
        ).any(),
    }
    _raise_first(batch, faults)


def _check_company(bench: Bench, batch: Batch) -> None:
    """Neighbours are train samples, not the query's own, in order of distance."""
    train = bench.panel.samples.haplotypes(TRAIN)
    own = np.repeat(batch.samples, 2)[:, None]
    relatives = [bench.panel.samples.relatives_of(sample) for sample in batch.samples[:, None]]
    pairs = batch.neighbours.reshape(len(batch.samples), -1) // 2
    faults = {
        "a query is its own neighbour, or its sibling is": (batch.neighbours // 2 == own).any(),
        "a listed relative of a query is its neighbour": any(
            np.isin(found, some).any() for found, some in zip(pairs, relatives, strict=True)
        ),
        "a neighbour is not a train sample": not np.isin(batch.neighbours, train).all(),
        "a distance is not finite": not np.isfinite(batch.distances).all(),
        "neighbours are not in order of distance": (np.diff(batch.distances, axis=1) < 0).any(),
    }
    _raise_first(batch, faults)


def _check_hidden(bench: Bench) -> None:
    """What is read of a sample stays the same when every hidden allele of theirs is another."""
    maker = bench.maker()
    masks = dataclasses.replace(bench.training_masks, references=None)  # one mask on both sides
    for window, sample in itertools.product(bench.windows[:2], bench.samples[:2]):
        batch = masks.batch(maker, Work(window, np.array([sample])))
        leak = hidden_alleles.first_leak(batch, hidden_alleles.flipped(maker, batch))
        if leak is not None:
            raise StoreError(
                f"Hidden alleles reach the network: in window {window} the {leak} of a sample "
                "change when those alleles do. Check that retrieval.exclude_same_sample is on and "
                "that nobody is in the index under another name."
            )


def _raise_first(batch: Batch, faults: dict[str, bool | np.bool_]) -> None:
    for fault, is_found in faults.items():
        if is_found:
            raise StoreError(
                f"In a batch of window {batch.window} {fault}. Check the settings of masks and "
                "retrieval, or make masks and index again: vcfbert refresh --masks, vcfbert "
                "build-index --force"
            )


def step(bench: Bench) -> str:
    """A step of one sample has a finite loss, and gradients in every tensor."""
    begun = time.perf_counter()
    done = trial_step.step(bench.state, bench.settings, bench.maker(), bench.small_batch())
    seconds = time.perf_counter() - begun
    if not (math.isfinite(done.loss) and math.isfinite(done.gradient_norm)):
        raise StoreError(
            f"A step of one sample has the loss {done.loss:g} and a gradient of norm "
            f"{done.gradient_norm:g}: the weights or the embeddings have diverged. Use an earlier "
            "checkpoint, or encode again and train a new run."
        )
    if not done.gradient_norm > 0:
        raise ConfigError(
            "A step of one sample has no gradient, so there is nothing to learn. Check the "
            "section [loss] and the masks."
        )
    return (
        f"loss {done.loss:.4f}, gradient norm {done.gradient_norm:.3g}, "
        f"{done.reached} of {done.tensors} tensors have gradients, "
        f"{done.parameters:,} parameters; {seconds:.1f} s for 1 sample on "
        f"{machine.describe(bench.device)}"
    )


def memory(bench: Bench) -> str:
    """A step of a whole batch fits into what the device has left."""
    settings, state = bench.settings, bench.state
    samples = settings.training.batch_size
    need = step_memory.measure_step(
        settings, bench.panel.length, samples, half=state.precision.is_mixed
    )
    # The network stands there already, so what it takes is not to be found again.
    wanted, free = need.total - need.weights, machine.free_bytes(bench.device)
    # Measured on Linux: 1.5 to 1.9 times, and 0.99 times with MALLOC_MMAP_THRESHOLD_=65536.
    on_cpu = bench.device.type == "cpu"
    gaps = f", up to {_HEAP_GAPS * wanted / 1e9:.2f} with gaps of the heap" if on_cpu else ""
    figures = (
        f"a step of {samples} samples takes {wanted / 1e9:.2f} GB (activations "
        f"{need.activations / 1e9:.2f}, gradients {need.gradients / 1e9:.2f}, AdamW "
        f"{need.optimizer / 1e9:.2f}){gaps}; {free / 1e9:.2f} GB free on "
        f"{machine.describe(bench.device)}"
    )
    if wanted > free:
        fitting = max(0, math.floor(samples * (1 - (wanted - free) / need.activations)))
        raise DeviceError(
            f"{figures}. About {fitting} samples fit: lower training.batch_size and raise "
            "training.accumulation, or take a smaller preset."
        )
    return figures


def refresh(bench: Bench) -> str:
    """Encoding again gives a store that reads back as written, and follows the weights."""
    settings, state = bench.settings, bench.state
    if not settings.reads_embeddings:
        return "this system reads no embeddings, so there are none to renew"
    bench.check_refresh()
    windows, panel = bench.windows, bench.panel
    encoder = copy.deepcopy(state.model.encoder).eval()
    needed = embeddings.codebook_bytes(len(panel.windows), panel.length, settings.model.width)
    stores.require_disk(
        bench.run, 2 * needed, what="The encodings of two epochs", instead="Free some."
    )
    with stores.scratch_beside(bench.run) as folder:
        path = folder / "embeddings.zarr"
        begun = time.perf_counter()
        made = [encoding.window_codebook(encoder, panel, window) for window in windows]
        embeddings.write_codebook(
            path,
            iter(made),
            panel_fingerprint=panel.fingerprint,
            encoder_fingerprint=encoding.encoder_fingerprint(encoder),
            reference_haplotypes=panel.samples.haplotypes(TRAIN),
        )
        seconds = time.perf_counter() - begun
        with embeddings.open_embeddings(path) as reader:
            same = all((reader.codebook(n) == one).all() for n, one in enumerate(made))
            before = reader.encoder_fingerprint
    if not same:
        raise StoreError(
            f"An encoding written beside {bench.run} did not read back as written. Check the disk."
        )
    moved = _moved(bench, encoder, made[0], before)
    return (
        f"{len(windows)} windows encoded, written and read back in {seconds:.2f} s, about "
        f"{seconds / len(windows) * len(panel.windows):.1f} s for all {len(panel.windows):,}; "
        f"after a step of 1 % of the token weights they differ by {moved:.1e}; "
        f"{_plan(bench)}"
    )


def _moved(bench: Bench, encoder: Encoder, made: NDArray[np.float32], before: str) -> float:
    """How far the first window moves with the weights; StoreError where it does not."""
    trial_step.scale_tokens(encoder, _NUDGE)
    again = encoding.window_codebook(encoder, bench.panel, bench.windows[0])
    moved = float(np.abs(again - made).max())
    if not moved > 0 or encoding.encoder_fingerprint(encoder) == before:
        raise StoreError(
            "Other weights give the same encoding, so a refresh would change nothing: the token "
            "embeddings are zero. Train a new run."
        )
    return moved


def _plan(bench: Bench) -> str:
    """When training will do it."""
    chosen = bench.settings.refresh
    if not chosen.embeddings_every:
        return "never in this run"
    words = {"epochs": "epochs", "batches": "batches", "plateau": "epochs of a plateau"}
    return f"every {chosen.embeddings_every} {words[chosen.embeddings_on]}"


def alignment(bench: Bench) -> str:
    """Query and reference stand in one space, under one mask; the nearest is better than any."""
    if not bench.retrieves:
        return "this system retrieves nothing"
    found = feature_space.measure(bench.state.model, bench.beside(), bench.device)
    figures = describe(found)
    if not feature_space.is_finite(found):
        raise StoreError(f"The embeddings hold NaN or infinity: {figures}. Train a new run.")
    if found.largest_error > _TOLERANCE:
        raise StoreError(
            f"The search reports {found.found_distance:.4g} for the nearest neighbours, but they "
            f"are {found.true_distance:.4g} from their queries under the queries' own masks: "
            f"references are searched under other masks, or in other rows. {_out_of_line(bench)}"
        )
    pairs = [
        (found.query_norm, found.retrieved_norm),
        (found.fused_query_norm, found.fused_retrieved_norm),
    ]
    if any(max(pair) > _NORMS_APART * min(pair) for pair in pairs):
        raise StoreError(
            f"Query and retrieved embeddings are not of one space: {figures}. Encode again: "
            "vcfbert encode-refs --force"
        )
    if not found.nearest_right > found.random_right:
        raise StoreError(
            f"The nearest neighbour is no better than any reference: {figures}. Make the index "
            "again: vcfbert build-index --force"
        )
    return figures


def _out_of_line(bench: Bench) -> str:
    if not bench.settings.masks.align:
        return "That is what masks.align = false asks for; --set masks.align=true mends it."
    return "Make the index again: vcfbert build-index --force"


def describe(found: feature_space.FeatureSpace) -> str:
    """The figures in a sentence."""
    return (
        f"norms of query and retrieved {found.query_norm:.3f} and {found.retrieved_norm:.3f}, "
        f"behind emb_fusion {found.fused_query_norm:.3f} and {found.fused_retrieved_norm:.3f}; "
        f"distance found {found.found_distance:.4g}, true {found.true_distance:.4g}; nearest right "
        f"at {found.nearest_right:.1%} of hidden alleles, a random one at {found.random_right:.1%}"
    )

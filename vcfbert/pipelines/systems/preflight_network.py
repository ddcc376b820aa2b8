"""Pre-flight checks of training: batches, a step, memory, a refresh, alignment.

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

from vcfbert import plurals
from vcfbert.domain import sites as site_tables
from vcfbert.domain import tokens
from vcfbert.domain.sites import TRAIN
from vcfbert.errors import ConfigError, DeviceError, StoreError
from vcfbert.model.embedding import Encoder
from vcfbert.pipelines.systems.preflight_inputs import PreflightInputs
from vcfbert.storage.zarr import embeddings, stores
from vcfbert.training import machine
from vcfbert.training.systems import alignment as feature_space
from vcfbert.training.systems import encoding, trial_step
from vcfbert.training.systems import leakage as hidden_alleles
from vcfbert.training.systems import memory as step_memory
from vcfbert.training.systems.batches import Batch
from vcfbert.training.systems.schedule import Work

_TOLERANCE = 1e-3  # relative, of distances summed in another order
_NORMS_APART = 4.0  # largest ratio of norms that come from one encoder and one fusion
_HEAP_GAPS = 1.9  # ratio of the heap of glibc to the live tensors in it
_NUDGE = 1.01  # factor of a change of the weights that a refresh must show


def collation(given: PreflightInputs) -> str:
    """Batches agree with the panel and the masks, and no query retrieves itself."""
    begun = time.perf_counter()
    batches = given.training_batches
    seconds = (time.perf_counter() - begun) / len(batches)
    for batch in batches:
        _check_tokens(given, batch)
        _check_company(given, batch)
    _check_hidden(given)
    hidden = sum(int(batch.is_hidden.sum()) for batch in batches)
    sites = sum(int((batch.labels != tokens.PAD).sum()) for batch in batches)
    rows, length = batches[0].labels.shape
    return (
        f"{plurals.of(len(batches), 'batch', 'batches')} of {plurals.of(rows // 2, 'sample')}: "
        f"{rows} x {length:,} tokens, {batches[0].neighbours.shape[1]} neighbours each, "
        f"{hidden / sites:.1%} masked, no sample retrieves itself, no masked allele is read; "
        f"{1000 * seconds:.0f} ms a batch"
    )


def _check_tokens(given: PreflightInputs, batch: Batch) -> None:
    """Labels and neighbours agree with the panel, and visible tokens with the labels."""
    own = site_tables.haplotypes_of(batch.samples)
    is_masked = batch.query_tokens == tokens.MASK
    flat = given.panel.tokens(batch.window, batch.neighbours.ravel())
    faults = {
        "labels differ from the panel": (
            batch.labels != given.panel.tokens(batch.window, own)
        ).any(),
        "visible tokens differ from the labels": (
            (batch.query_tokens != batch.labels) & ~is_masked
        ).any(),
        "the scored sites are not the masked ones": (batch.is_hidden != is_masked).any(),
        "no site is masked": not is_masked.any(),
        # A list may have no site in a window, which training reports by itself.
        "no site is visible": given.settings.masks.policy != "array"
        and not (batch.query_tokens <= tokens.ALT).any(),
        "tokens of neighbours differ from the panel": (
            batch.neighbour_tokens.reshape(flat.shape) != flat
        ).any(),
    }
    _raise_first(batch, faults)


def _check_company(given: PreflightInputs, batch: Batch) -> None:
    """Neighbours are other train samples, in order of distance."""
    train = given.panel.samples.haplotypes(TRAIN)
    own = np.repeat(batch.samples, 2)[:, None]
    relatives = [given.panel.samples.relatives_of(sample) for sample in batch.samples[:, None]]
    pairs = batch.neighbours.reshape(len(batch.samples), -1) // 2
    faults = {
        "a neighbour of a query is of the same sample": (batch.neighbours // 2 == own).any(),
        "a neighbour of a query is a listed relative": any(
            np.isin(found, some).any() for found, some in zip(pairs, relatives, strict=True)
        ),
        "a neighbour is not a train sample": not np.isin(batch.neighbours, train).all(),
        "a distance is not finite": not np.isfinite(batch.distances).all(),
        "neighbours are not ordered by distance": (np.diff(batch.distances, axis=1) < 0).any(),
    }
    _raise_first(batch, faults)


def _check_hidden(given: PreflightInputs) -> None:
    """What the network reads does not change if all masked alleles of a sample are flipped."""
    maker = given.maker()
    masks = dataclasses.replace(given.training_masks, references=None)  # one mask on both sides
    for window, sample in itertools.product(given.windows[:2], given.samples[:2]):
        batch = masks.batch(maker, Work(window, np.array([sample])))
        leak = hidden_alleles.first_leak(batch, hidden_alleles.flipped(maker, batch))
        if leak is not None:
            raise StoreError(
                f"Masked alleles reach the network: in window {window} the {leak} of a sample "
                "change with those alleles. Check that retrieval.exclude_same_sample is on and "
                "that the index has no duplicate of the sample."
            )


def _raise_first(batch: Batch, faults: dict[str, bool | np.bool_]) -> None:
    for fault, is_found in faults.items():
        if is_found:
            raise StoreError(
                f"In a batch of window {batch.window} {fault}. Check the settings of masks and "
                "retrieval, or rebuild masks and index: vcfbert refresh --masks, vcfbert "
                "build-index --force"
            )


def step(given: PreflightInputs) -> str:
    """A step of one sample has a finite loss and a gradient."""
    begun = time.perf_counter()
    done = trial_step.step(
        given.state,
        given.settings.loss,
        given.maker(),
        given.small_batch(),
        rare_maf=given.settings.training.rare_maf,
    )
    seconds = time.perf_counter() - begun
    if not (math.isfinite(done.loss) and math.isfinite(done.gradient_norm)):
        raise StoreError(
            f"A step of one sample has the loss {done.loss:g} and a gradient of norm "
            f"{done.gradient_norm:g}: the weights or the embeddings have diverged. Use an earlier "
            "checkpoint, or encode again and train a new run."
        )
    if not done.gradient_norm > 0:
        raise ConfigError(
            "A step of one sample has no gradient, so nothing would be learned. Check the section "
            "[loss] and the masks."
        )
    return (
        f"loss {done.loss:.4f}, gradient norm {done.gradient_norm:.3g}, "
        f"{done.reached} of {done.tensors} tensors have gradients, "
        f"{done.parameters:,} parameters; {seconds:.1f} s for 1 sample on "
        f"{machine.describe(given.device)}"
    )


def memory(given: PreflightInputs) -> str:
    """A step of a whole batch fits into the free memory of the device."""
    settings, state = given.settings, given.state
    samples = -(-settings.training.batch_size // given.num_ranks)
    need = step_memory.measure_step(
        settings.model,
        settings.retrieval,
        settings.loss,
        given.panel.length,
        samples,
        half=state.precision.is_mixed,
    )
    # The weights are in memory already.
    wanted, free = need.total - need.weights, machine.free_bytes(given.device)
    # Measured on Linux: 1.5 to 1.9 times, and 0.99 times with MALLOC_MMAP_THRESHOLD_=65536.
    on_cpu = given.device.type == "cpu"
    if on_cpu:  # which the processes share
        free //= given.num_ranks
    gaps = f", up to {_HEAP_GAPS * wanted / 1e9:.2f} with gaps of the heap" if on_cpu else ""
    figures = (
        f"a step of {samples} samples takes {wanted / 1e9:.2f} GB (activations "
        f"{need.activations / 1e9:.2f}, gradients {need.gradients / 1e9:.2f}, AdamW "
        f"{need.optimizer / 1e9:.2f}){gaps}; {free / 1e9:.2f} GB free on "
        f"{machine.describe(given.device)}"
    )
    if wanted > free:
        share = max(0, math.floor(samples * (1 - (wanted - free) / need.activations)))
        fitting = share * given.num_ranks
        raise DeviceError(
            f"{figures}. About {fitting} samples fit: lower training.batch_size and raise "
            "training.accumulation, or use a smaller preset."
        )
    return figures


def refresh(given: PreflightInputs) -> str:
    """A new encoding reads back as written, and changes with the weights."""
    settings, state = given.settings, given.state
    if not settings.reads_embeddings:
        return "this system reads no embeddings"
    given.check_refresh()
    windows, panel = given.windows, given.panel
    encoder = copy.deepcopy(state.model.encoder).eval()
    needed = embeddings.codebook_bytes(len(panel.windows), panel.length, settings.model.width)
    stores.require_disk(
        given.run,
        (settings.refresh.keep + 2) * needed,  # those kept, the last checkpoint's and a new one
        what="The encodings that a run keeps",
        instead="Free some, or lower refresh.keep.",
    )
    with stores.scratch_beside(given.run) as folder:
        path = folder / "embeddings.zarr"
        begun = time.perf_counter()
        made = [encoding.window_codebook(encoder, panel, window) for window in windows]
        embeddings.write_codebook(
            path,
            iter(made),
            panel_fingerprint=panel.fingerprint,
            encoder=encoding.weights_of(encoder),
            reference_haplotypes=panel.samples.haplotypes(TRAIN),
        )
        seconds = time.perf_counter() - begun
        with embeddings.open_embeddings(path) as reader:
            same = all((reader.codebook(n) == one).all() for n, one in enumerate(made))
            before = reader.encoder_fingerprint
    if not same:
        raise StoreError(
            f"An encoding written next to {given.run} did not read back as written. Check the disk."
        )
    moved = _moved(given, encoder, made[0], before)
    return (
        f"{plurals.of(len(windows), 'window')} encoded, written and read back in {seconds:.2f} s, "
        f"about {seconds / len(windows) * len(panel.windows):.1f} s for all "
        f"{len(panel.windows):,}; after a step of 1 % of the token weights they differ by "
        f"{moved:.1e}; {_plan(given)}"
    )


def _moved(
    given: PreflightInputs, encoder: Encoder, made: NDArray[np.float32], before: str
) -> float:
    """How far the first window moves with the weights; StoreError if it does not move."""
    trial_step.scale_tokens(encoder, _NUDGE)
    again = encoding.window_codebook(encoder, given.panel, given.windows[0])
    moved = float(np.abs(again - made).max())
    if not moved > 0 or encoding.encoder_fingerprint(encoder) == before:
        raise StoreError(
            "Other weights give the same encoding, so a refresh has no effect: the token "
            "embeddings are zero. Train a new run."
        )
    return moved


def _plan(given: PreflightInputs) -> str:
    """How often training encodes again."""
    chosen = given.settings.refresh
    if not chosen.embeddings_every:
        return "never in this run"
    words = {"epochs": "epochs", "batches": "batches", "plateau": "epochs of a plateau"}
    return f"every {chosen.embeddings_every} {words[chosen.embeddings_on]}"


def alignment(given: PreflightInputs) -> str:
    """Queries and references share one space and one mask; the nearest beats a random one."""
    if not given.retrieves:
        return "this system retrieves nothing"
    found = feature_space.measure(given.state.model, given.probed_batches(), given.device)
    figures = describe(found)
    if not feature_space.is_finite(found):
        raise StoreError(f"The embeddings have NaN or infinity: {figures}. Train a new run.")
    if found.largest_error > _TOLERANCE:
        raise StoreError(
            f"The search reports a distance of {found.found_distance:.4g} for the nearest "
            f"neighbours, but under the masks of their queries it is {found.true_distance:.4g}: "
            f"the references have other masks or are in other rows. {_misaligned(given)}"
        )
    pairs = [
        (found.query_norm, found.retrieved_norm),
        (found.fused_query_norm, found.fused_retrieved_norm),
    ]
    if any(max(pair) > _NORMS_APART * min(pair) for pair in pairs):
        raise StoreError(
            f"Query and retrieved embeddings are in different spaces: {figures}. Encode again: "
            "vcfbert encode-refs --force"
        )
    if not found.nearest_right > found.random_right:
        raise StoreError(
            f"The nearest neighbour is no better than a random reference: {figures}. Rebuild the "
            "index: vcfbert build-index --force"
        )
    return figures


def _misaligned(given: PreflightInputs) -> str:
    if not given.settings.masks.align:
        return "This is what masks.align = false asks for; --set masks.align=true aligns them."
    return "Rebuild the index: vcfbert build-index --force"


def describe(found: feature_space.FeatureSpace) -> str:
    """The figures as text."""
    return (
        f"norms of query and retrieved {found.query_norm:.3f} and {found.retrieved_norm:.3f}, "
        f"after emb_fusion {found.fused_query_norm:.3f} and {found.fused_retrieved_norm:.3f}; "
        f"distance found {found.found_distance:.4g}, true {found.true_distance:.4g}; nearest right "
        f"at {found.nearest_right:.1%} of masked alleles, a random one at {found.random_right:.1%}"
    )
